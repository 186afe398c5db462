// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChunkItem } from "./content";
import { PushJournal } from "./journal";
import { LeftJournals } from "./left-journals";
import { PackStream } from "./pack-format";
import { PackedChunks } from "./packed-chunks";
import { ChunkKind } from "./repository-keys";
import { noise } from "./testing/scratch";

describe("what journals of interrupted pushes say", () => {
  let folder: string;
  const open: LeftJournals[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "coffer-journal-"));
  });

  afterEach(() => {
    for (const left of open.splice(0)) left.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const itemsOf = (seed: number, count: number): ChunkItem[] =>
    Array.from({ length: count }, (_, i) =>
      i % 5 === 3
        ? { lengthBytes: 2 ** 33 + i, id: undefined }
        : { lengthBytes: 1000 + i, id: Uint8Array.from(noise(seed * 10_000 + i, 32)) },
    );

  const packOf = (number: number) => ({
    id: noise(777_000 + number, 32),
    stream: PackStream.data,
    sizeBytes: 9999,
    chunks: PackedChunks.of([{ id: noise(number, 32), kind: ChunkKind.data, sealedBytes: 20 }]),
  });

  const read = (...paths: string[]): LeftJournals => {
    const left = new LeftJournals(paths, folder);
    open.push(left);
    return left;
  };

  /** Writes a journal as a push does that comes to no end. */
  const write = (files: Record<string, ChunkItem[]>, packs = 0): string => {
    const journal = PushJournal.open(folder);
    for (const [key, items] of Object.entries(files)) {
      const number = journal.file(key);
      for (const item of items) journal.item(number, item);
    }
    for (let i = 0; i < packs; i++) journal.pack(packOf(i));
    journal.close();
    const name = readdirSync(folder).find((file) => !file.endsWith(".left"));
    assert.ok(name !== undefined);
    const path = join(folder, `${name}.left`);
    renameSync(join(folder, name), path);
    return path;
  };

  it("come back file by file, from any place in several batches", () => {
    const files: Record<string, ChunkItem[]> = {};
    for (let i = 0; i < 500; i++) files[`file ${String(i)}`] = itemsOf(i, i % 40);
    files["long"] = itemsOf(900, 5000);
    files["last"] = itemsOf(901, 1);
    const left = read(write(files, 3));
    for (const [key, items] of Object.entries(files).reverse())
      assert.deepEqual([...left.items(key)], items, key);
    assert.deepEqual([...left.items("another")], []);
    assert.deepEqual(
      [...left.packs()].map(({ id }) => id),
      [0, 1, 2].map((i) => packOf(i).id),
    );
  });

  it("are those of the journal that knows most of a file", () => {
    const left = read(
      write({ a: itemsOf(1, 3), b: itemsOf(2, 9) }),
      write({ a: itemsOf(1, 7), b: itemsOf(2, 2) }),
    );
    assert.deepEqual([...left.items("a")], itemsOf(1, 7));
    assert.deepEqual([...left.items("b")], itemsOf(2, 9));
  });

  it("end where a journal is torn, is damaged, or has bytes that are none", () => {
    const items = itemsOf(3, 20_000);
    const path = write({ a: items }, 1);
    const whole = readFileSync(path);
    const known = (): number => {
      const left = read(path);
      const got = [...left.items("a")];
      assert.deepEqual(got, items.slice(0, got.length));
      assert.deepEqual([...left.packs()].length, got.length === items.length ? 1 : 0);
      return got.length;
    };
    appendFileSync(path, noise(4, 3000));
    assert.equal(known(), items.length);
    truncateSync(path, whole.length - 1);
    assert.equal([...read(path).packs()].length, 0);
    truncateSync(path, Math.floor(whole.length / 2));
    const half = known();
    assert.ok(half > 8000 && half < 12_000, String(half));
    const damaged = Buffer.from(whole);
    damaged[Math.floor(whole.length / 4)] = (damaged[Math.floor(whole.length / 4)] ?? 0) ^ 1;
    writeFileSync(path, damaged);
    const quarter = known();
    assert.ok(quarter > 3000 && quarter < 6000, String(quarter));
    writeFileSync(path, "");
    assert.equal(known(), 0);
  });
});
