// SPDX-License-Identifier: MIT
/** What `logSkip` promises of every BlobDevice; see its contract in `../blob-device.ts`. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { LogConflict, LogTrimmed } from "../../remote/device-failure";
import type { BlobDevice } from "../blob-device";

const NO_ENTRY = Buffer.alloc(32);

function hashOf(previous: Uint8Array, entry: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(previous).update(entry).digest());
}

async function headOf(device: BlobDevice, log: Uint8Array): Promise<{ count: number; head: Uint8Array }> {
  const { count, head } = await device.logHead(log);
  return { count, head: Uint8Array.from(head) };
}

/** Defines its tests in the suite that calls it; `open` gives a device that may hold other logs. */
export function logSkipCases(open: () => Promise<BlobDevice>): void {
  for (const [what, before] of [
    ["that is not there", 0],
    ["that has fewer entries", 40],
  ] as const) {
    it(`lets a log ${what} begin anew, once, and goes on from there`, async () => {
      const device = await open();
      const log = randomBytes(32);
      let old: Uint8Array = NO_ENTRY;
      for (let i = 0; i < before; i++) old = (await device.logAppend(log, old, randomBytes(3000))).head;
      const previous = randomBytes(32);
      const entry = randomBytes(100);
      const head = hashOf(previous, entry);
      for (let times = 0; times < 2; times++) {
        const answer = await device.logSkip(log, 90, previous, entry);
        assert.deepEqual([answer.count, Uint8Array.from(answer.head)], [91, head]);
        assert.deepEqual(await headOf(device, log), { count: 91, head });
      }
      assert.equal(await device.logTrim(log, 0, head), 90);
      await assert.rejects(device.logRead(log, 0, NO_ENTRY), LogTrimmed);
      await assert.rejects(device.logRead(log, 89, randomBytes(32)), LogTrimmed);

      const next = randomBytes(10);
      await assert.rejects(device.logAppend(log, previous, next), LogConflict);
      assert.equal((await device.logAppend(log, head, next)).count, 92);
      const { count, entries } = await device.logRead(log, 90, previous);
      assert.deepEqual([count, entries.map((one) => Buffer.from(one))], [92, [entry, next]]);
      await assert.rejects(device.logSkip(log, 90, previous, entry), LogConflict);
      const listed = (await device.logList()).find((one) => Buffer.compare(one.log, log) === 0);
      assert.equal(listed?.count, 92);
    });
  }

  it("appends where the log ends just there, and is in conflict with more or other entries", async () => {
    const device = await open();
    const log = randomBytes(32);
    const [first, second] = [randomBytes(5), randomBytes(6)];
    await assert.rejects(device.logSkip(log, 0, randomBytes(32), first), LogConflict);
    assert.equal((await device.logSkip(log, 0, NO_ENTRY, first)).count, 1);
    const head = hashOf(NO_ENTRY, first);
    assert.equal((await device.logSkip(log, 1, head, second)).count, 2);
    for (const [at, previous] of [
      [0, NO_ENTRY],
      [1, NO_ENTRY],
      [1, head],
      [2, head],
    ] as const) {
      await assert.rejects(device.logSkip(log, at, previous, randomBytes(7)), LogConflict);
    }
    const { entries } = await device.logRead(log, 0, NO_ENTRY);
    assert.deepEqual(
      entries.map((one) => Buffer.from(one)),
      [first, second],
    );
  });
}
