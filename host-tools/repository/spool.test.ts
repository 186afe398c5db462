// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Refusal } from "../refusal";
import { temporaryFolder } from "../test/temporary-folder";
import { Spool } from "./spool";

const KIB = 1024;

describe("a spool", () => {
  const folder = temporaryFolder();
  const bytesOf = (i: number, length: number): Buffer =>
    Buffer.alloc(length, createHash("sha256").update(String(i)).digest());

  for (const [what, lengths] of [
    ["little, in memory", [0, 1, 100, 511 * KIB]],
    ["much, in a file", [300 * KIB, 300 * KIB, 7, 511 * KIB, 0, 512 * KIB, 1]],
    ["pieces longer than its memory", [5, 600 * KIB, 5, 2000 * KIB, 512 * KIB + 1]],
  ] as const)
    it(`gives back ${what}, in other pieces, too, and nothing behind`, () => {
      const whole = Buffer.concat(lengths.map((length, i) => bytesOf(i, length)));
      for (const readLengths of [lengths, [whole.length], [1, whole.length >> 1, (whole.length - 1) >> 1]]) {
        const spool = new Spool(folder.path);
        for (const [i, length] of lengths.entries()) spool.add(bytesOf(i, length));
        let at = 0;
        for (const length of readLengths) {
          assert.ok(spool.next(length).equals(whole.subarray(at, at + length)));
          at += length;
        }
        assert.throws(() => spool.next(whole.length - at + 1), RangeError);
        spool.close();
      }
    });

  it("refuses where it can keep no file, when it needs one", () => {
    const spool = new Spool(join(folder.path, "absent"));
    spool.add(bytesOf(1, 400 * KIB));
    assert.throws(() => {
      spool.add(bytesOf(2, 400 * KIB));
    }, Refusal);
  });
});
