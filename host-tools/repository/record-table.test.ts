// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Refusal } from "../refusal";
import { RecordTable } from "./record-table";
import { noise } from "./testing/scratch";

describe("the record table", () => {
  let folder: string;
  let table: RecordTable;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "coffer-table-"));
    table = new RecordTable({ fields: 2, folder, maxRecent: 64 });
  });

  afterEach(() => {
    table.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Every seventh id is that of an earlier record. */
  const idOf = (i: number): Uint8Array => noise(1 + (i % 7 === 0 ? Math.floor(i / 2) : i), 32);

  const fill = (count: number): Map<string, number[]> => {
    const expected = new Map<string, number[]>();
    for (let i = 0; i < count; i++) {
      const id = idOf(i);
      assert.equal(table.add(id), i);
      table.set(i, 0, i);
      table.set(i, 1, 0xffffffff - i);
      const key = Buffer.from(id).toString("hex");
      expected.set(key, [...(expected.get(key) ?? []), i]);
    }
    return expected;
  };

  const counts = [1, 63, 64, 65, 128, 1000, 64 * 31 + 5];
  for (const count of counts)
    it(`finds each of ${String(count)} records by number and by id, with 64 in memory`, () => {
      const expected = fill(count);
      assert.equal(table.size, count);
      for (const [id, numbers] of expected) assert.deepEqual(table.find(Buffer.from(id, "hex")), numbers);
      for (let i = 0; i < count; i++) {
        assert.deepEqual([table.get(i, 0), table.get(i, 1)], [i, 0xffffffff - i]);
        assert.deepEqual(table.idOf(i), Uint8Array.from(idOf(i)));
      }
      for (let i = 0; i < 500; i++) assert.equal(table.find(noise(1_000_000 + i, 32)).length, 0);
    });

  it("keeps what is changed, wherever the record is", () => {
    fill(500);
    for (const i of [0, 1, 63, 64, 447, 448, 499]) table.set(i, 1, 7 * i);
    fillMore(500, 200);
    for (const i of [0, 1, 63, 64, 447, 448, 499])
      assert.deepEqual([table.get(i, 0), table.get(i, 1)], [i, 7 * i]);
    assert.equal(table.get(2, 1), 0xffffffff - 2);
  });

  const fillMore = (from: number, count: number): void => {
    for (let i = from; i < from + count; i++) table.add(noise(9_000_000 + i, 32));
  };

  it("tells apart ids that begin alike", () => {
    const like = (last: number): Uint8Array =>
      Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? last : 5));
    for (let i = 0; i < 200; i++) table.add(like(i % 100));
    for (let i = 0; i < 100; i++) assert.deepEqual(table.find(like(i)), [i, i + 100]);
    assert.equal(table.find(like(100)).length, 0);
  });

  it("leaves nothing in its folder, even while it is open", () => {
    fill(1000);
    assert.deepEqual(readdirSync(folder), []);
  });

  it("says why when its files cannot be made", () => {
    rmSync(folder, { recursive: true });
    const isNamed = (error: unknown): boolean => error instanceof Refusal && error.message.includes(folder);
    assert.throws(() => fill(65), isNamed);
    assert.throws(() => table.find(idOf(1)), isNamed, "and is not relied on after that");
  });
});
