// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { ChunkWindow, HOLE_BLOCK_BYTES, READ_BYTES, WINDOW_BYTES } from "./chunk-window";
import {
  Chunker,
  EASY_BITS,
  HARD_BITS,
  MAX_CHUNK_BYTES,
  MIN_CHUNK_BYTES,
  NORMAL_CHUNK_BYTES,
  gearTable,
} from "./chunker";
import { noise } from "./testing/scratch";

const MIB = 1024 * 1024;
const gearKey = noise(1, 32);

/** The same in plain, slow JavaScript: the description in docs/repository.md, word for word. */
function plainCut(bytes: Uint8Array, start: number, key: Uint8Array): number {
  const table = new BigUint64Array(Uint8Array.from(gearTable(key)).buffer);
  const limit = Math.min(bytes.length, start + MAX_CHUNK_BYTES);
  let hash = 0n;
  for (let at = start + MIN_CHUNK_BYTES; at < limit; at++) {
    hash = BigInt.asUintN(64, (hash << 1n) + (table[bytes[at] ?? 0] ?? 0n));
    const bits = at < start + NORMAL_CHUNK_BYTES ? HARD_BITS : EASY_BITS;
    if (hash >> BigInt(64 - bits) === 0n) return at + 1;
  }
  return limit;
}

function cuts(content: Uint8Array, key = gearKey): number[] {
  const chunker = new Chunker({ gearKey: key, capacityBytes: content.length });
  chunker.bytes.set(content);
  const ends: number[] = [];
  for (let at = 0; at < content.length; at = ends.at(-1) ?? content.length)
    ends.push(chunker.cut(at, content.length, true) ?? content.length);
  return ends;
}

describe("chunker", () => {
  it("cuts where the plain description cuts", () => {
    const content = noise(2, 5 * MIB);
    let at = 0;
    for (const end of cuts(content)) {
      assert.equal(end, plainCut(content, at, gearKey));
      at = end;
    }
  }).timeout(60_000);

  it("makes chunks of 1 MiB on average, within the limits", () => {
    const content = noise(3, 96 * MIB);
    const ends = cuts(content);
    const sizes = ends.map((end, i) => end - (ends[i - 1] ?? 0));
    for (const size of sizes.slice(0, -1)) assert.ok(size > MIN_CHUNK_BYTES && size <= MAX_CHUNK_BYTES);
    const average = content.length / sizes.length / MIB;
    assert.ok(average > 0.85 && average < 1.2, String(average));
  }).timeout(60_000);

  it("finds its way back after an insertion at any place", () => {
    const content = noise(4, 24 * MIB);
    const before = new Set(cuts(content));
    for (const at of [0, 1, 100_000, 5 * MIB, 23 * MIB]) {
      const inserted = Buffer.concat([content.subarray(0, at), Buffer.from("?"), content.subarray(at)]);
      const after = cuts(inserted);
      const shared = after.filter((end) => before.has(end <= at ? end : end - 1)).length;
      assert.ok(
        after.length - shared <= 4,
        `at ${String(at)}: ${String(after.length - shared)} of ${String(after.length)} differ`,
      );
    }
  });

  it("cuts elsewhere with another key", () => {
    const content = noise(5, 24 * MIB);
    const other = new Set(cuts(content, noise(6, 32)));
    assert.ok(cuts(content).filter((end) => other.has(end)).length <= 2);
  });

  it("is the same from any boundary on", () => {
    const content = noise(7, 12 * MIB);
    const ends = cuts(content);
    const from = ends[3] ?? 0;
    assert.deepEqual(
      cuts(content.subarray(from)).map((end) => end + from),
      ends.slice(4),
    );
  });

  it("ends at the most when nothing matches", () => {
    assert.deepEqual(
      cuts(Buffer.alloc(9 * MIB, 65))
        .slice(0, -1)
        .every((end) => end % MAX_CHUNK_BYTES === 0 || end < MAX_CHUNK_BYTES),
      true,
    );
  });
});

describe("chunk window", () => {
  /** Pieces of a file that is read in steps of `step`, as [offset, length, isHole]. */
  function pieces(
    content: Uint8Array,
    step = READ_BYTES,
    from = 0,
  ): { at: number; length: number; isHole: boolean }[] {
    const window = new ChunkWindow(new Chunker({ gearKey, capacityBytes: WINDOW_BYTES }));
    window.reset(from);
    const found: { at: number; length: number; isHole: boolean }[] = [];
    let at = from;
    while (!window.isEnd) {
      window.makeRoom();
      const bytes = content.subarray(window.fileOffset, window.fileOffset + step);
      window.bytes.set(bytes, window.fill);
      window.advance(bytes.length);
      window.isEnd = window.fileOffset >= content.length;
      for (let piece = window.next(); piece; piece = window.next()) {
        const { start, lengthBytes, isHole } = piece;
        const expected = isHole ? Buffer.alloc(lengthBytes) : content.subarray(at, at + lengthBytes);
        assert.equal(
          Buffer.compare(window.bytes.subarray(start, start + lengthBytes), expected),
          0,
          `at ${String(at)}`,
        );
        const last = found.at(-1);
        if (isHole && last?.isHole === true) last.length += lengthBytes;
        else found.push({ at, length: lengthBytes, isHole });
        at += lengthBytes;
      }
    }
    assert.equal(at, content.length);
    return found;
  }

  it("gives the same pieces however the file is read", () => {
    const content = Buffer.concat([
      noise(8, 3 * MIB),
      Buffer.alloc(MIB),
      noise(9, 7 * MIB + 123),
      Buffer.alloc(200_000),
    ]);
    const expected = pieces(content);
    for (const step of [64 * 1024, 100_000, 1_999_999])
      assert.deepEqual(pieces(content, step), expected, String(step));
    const middle = expected[4]?.at ?? 0;
    assert.deepEqual(pieces(content, READ_BYTES, middle), expected.slice(4), "resumed at a boundary");
  });

  it("finds holes of aligned zero blocks and nothing smaller", () => {
    const content = Buffer.concat([
      noise(10, HOLE_BLOCK_BYTES),
      Buffer.alloc(4 * HOLE_BLOCK_BYTES),
      noise(11, 1000),
    ]);
    assert.deepEqual(pieces(content), [
      { at: 0, length: HOLE_BLOCK_BYTES, isHole: false },
      { at: HOLE_BLOCK_BYTES, length: 4 * HOLE_BLOCK_BYTES, isHole: true },
      { at: 5 * HOLE_BLOCK_BYTES, length: 1000, isHole: false },
    ]);
    assert.ok(
      pieces(Buffer.concat([noise(12, 1000), Buffer.alloc(HOLE_BLOCK_BYTES)])).every(
        (piece) => !piece.isHole,
      ),
    );
    assert.deepEqual(pieces(Buffer.alloc(40 * MIB)), [{ at: 0, length: 40 * MIB, isHole: true }]);
  });
});
