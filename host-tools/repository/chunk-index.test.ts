// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { ChunkIndex } from "./chunk-index";
import { type Pack, PackStream } from "./pack-format";
import { PackedChunks } from "./packed-chunks";
import { ChunkKind } from "./repository-keys";
import { plain } from "./testing/plain";
import { noise } from "./testing/scratch";

describe("the chunk index", () => {
  it("has the same chunks whether those of files are taken up before, after or between others", () => {
    const [tree, data] = [PackStream.tree, PackStream.data];
    const streams = [data, tree, data, data, tree, data];
    const place = (number: number, i: number): number => 500_000 + number * 1000 + i;
    const packOf = (number: number): Pack => ({
      id: noise(400_000 + number, 32),
      stream: streams[number] ?? data,
      sizeBytes: 1_000_000,
      chunks: PackedChunks.of(
        Array.from({ length: 90 + number }, (_, i) => ({
          id: noise(place(number, i), 32),
          // A folder's chunk in the wrong kind of pack counts, too.
          kind: streams[number] === tree || i === 5 ? ChunkKind.tree : ChunkKind.data,
          sealedBytes: 20 + i,
        })),
      ),
    });
    const check = (index: ChunkIndex, number: number): void => {
      const pack = index.packById(packOf(number).id);
      assert.ok(pack);
      const chunks = [...packOf(number).chunks];
      for (const { kind, id, offsetBytes, sealedBytes } of chunks) {
        const [found, ...others] = index.locations(kind, id);
        assert.deepEqual(
          [found?.pack.number, found?.offsetBytes, found?.sealedBytes, others.length],
          [number, offsetBytes, sealedBytes, 0],
        );
      }
      assert.deepEqual(plain(index.chunksOf(pack)), plain(chunks));
    };
    // What has to know all chunks.
    const checkWhole = (index: ChunkIndex, number: number): void => {
      const [{ id } = { id: noise(0, 32) }] = packOf(number).chunks;
      const pack = index.packById(packOf(number).id);
      assert.ok(pack);
      assert.equal(index.entryOf(id), index.firstEntryOf(pack));
      assert.deepEqual(index.locations(ChunkKind.detail, id), []);
    };
    const numbers = [...streams.keys()];
    for (const asked of [[], [1], [1, 4], [0], [5, 1]]) {
      const index = new ChunkIndex({ folder: tmpdir() });
      for (const number of numbers.slice(0, 3)) index.add(packOf(number), new Set(["one"]));
      for (const number of asked) if (number < 3) check(index, number);
      for (const number of numbers.slice(3)) index.add(packOf(number), new Set(["one"]));
      for (const number of [...asked, ...numbers]) check(index, number);
      for (const number of numbers) checkWhole(index, number);
      assert.equal(index.size, 90 * 6 + 15);
      index.close();
    }
  });

  for (const maxRecent of [65_536, 30])
    it(`finds every chunk and pack, and only those, with ${String(maxRecent)} of each in memory`, () => {
      const index = new ChunkIndex({ folder: tmpdir(), maxRecent });
      const claim = { body: { lamport: 1, writer: noise(7, 16), sequence: 3 }, devices: new Set(["two"]) };
      const packOf = (number: number): Pack => ({
        id: noise(100_000 + number, 32),
        stream: PackStream.data,
        sizeBytes: 9999,
        chunks: PackedChunks.of(
          Array.from({ length: 100 }, (_, i) => ({
            // The last chunk is in every pack.
            id: noise(i === 99 ? 1_000_000 : number * 100 + i + 1, 32),
            kind: ChunkKind.data,
            sealedBytes: 20,
          })),
        ),
      });
      for (let pack = 0; pack < 50; pack++) index.add(packOf(pack), new Set(["one"]));
      for (let pack = 0; pack < 50; pack += 2) index.add(packOf(pack), new Set(["two"]), [claim]);
      for (let i = 1; i <= 5000; i++)
        if (i % 100 !== 0) assert.equal(index.locations(ChunkKind.data, noise(i, 32)).length, 1, String(i));
      for (let i = 6000; i < 7000; i++) assert.equal(index.has(noise(i, 32)), false);
      const everywhere = index.locations(ChunkKind.data, noise(1_000_000, 32));
      assert.deepEqual(
        everywhere.map(({ pack }) => pack.number),
        Array.from({ length: 50 }, (_, i) => i),
      );
      assert.equal(index.chunksOf(index.pack(7))[3]?.offsetBytes, 68);
      assert.deepEqual(index.packWithChunks(index.pack(7)).chunks.bytes, packOf(7).chunks.bytes);
      for (let number = 0; number < 50; number++) {
        const pack = index.packById(noise(100_000 + number, 32));
        assert.equal(pack?.number, number);
        assert.deepEqual([...pack.devices], number % 2 === 0 ? ["one", "two"] : ["one"]);
        assert.deepEqual(pack.claims, number % 2 === 0 ? [claim] : []);
      }
      index.lose(noise(100_004, 32), "one");
      assert.deepEqual([...index.pack(4).devices], ["two"]);
      index.pack(5).isCondemned = true;
      assert.deepEqual(
        [4, 5, 6].map((number) => index.pack(number).isCondemned),
        [false, true, false],
      );
      index.dropOthers(({ number }) => number === 9);
      const left = [...index.packs()].filter(({ isDropped }) => !isDropped);
      assert.deepEqual(
        left.map(({ number }) => number),
        [9],
      );
      index.close();
    });
});
