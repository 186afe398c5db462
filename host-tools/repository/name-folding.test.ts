// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { toByteString, toText } from "./byte-names";
import { indistinguishable, probeNameFolding } from "./name-folding";
import { Scratch } from "./testing/scratch";
import { EntryType, makeEntry } from "./tree";

describe("names that a file system cannot tell apart", () => {
  const entries = ["a.txt", "A.txt", "b", "\u00e9", "e\u0301", "stra\u00dfe", "STRASSE"]
    .map((name) => makeEntry({ name: toByteString(name), type: EntryType.file, mode: 0o644 }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const found = (folding: { case: boolean; normalForm: boolean }): string[] =>
    [...indistinguishable(entries, () => folding).keys()].map(({ name }) => toText(name));

  it("are found as the file system folds them", () => {
    assert.deepEqual(found({ case: false, normalForm: false }), []);
    assert.deepEqual(found({ case: true, normalForm: false }), ["a.txt", "stra\u00dfe"]);
    assert.deepEqual(found({ case: false, normalForm: true }), ["\u00e9"]);
    assert.deepEqual(found({ case: true, normalForm: true }), ["a.txt", "stra\u00dfe", "\u00e9"]);
  });

  it("cost no look at the file system where there are none", () => {
    const probe = (): never => assert.fail("it was asked");
    assert.equal(indistinguishable(entries.slice(0, 1), probe).size, 0);
  });

  it("are tried out without leaving anything", () => {
    const scratch = new Scratch();
    try {
      const folding = probeNameFolding(toByteString(scratch.folder));
      if (process.platform === "linux") assert.deepEqual(folding, { case: false, normalForm: false });
      assert.deepEqual(readdirSync(scratch.folder), []);
    } finally {
      void scratch.remove();
    }
  });
});
