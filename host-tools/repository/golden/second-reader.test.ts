// SPDX-License-Identifier: MIT
/** What the second reader refuses: whatever somebody who has a device changes there. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { MemoryDevice } from "../testing/memory-device";
import { type Fixture, devicesOf, loadFixture } from "./fixture";
import { readAll, refusesAs } from "./readings";
import type { Refused } from "./second-reader";

type Reason = Refused["reason"];
type MemoryLog = NonNullable<ReturnType<MemoryDevice["logs"]["get"]>>;

describe("the second reader", () => {
  it("shares no code with the repository", () => {
    const sources = readdirSync(import.meta.dirname).filter((file) =>
      /^second-reader.*(?<!\.test)\.ts$/.test(file),
    );
    assert.ok(sources.length > 1);
    for (const source of sources)
      for (const [, from = ""] of readFileSync(join(import.meta.dirname, source), "utf8").matchAll(
        / from "([^"]+)"/g,
      ))
        assert.match(from, /^(node:|@|cborg$|\.\/second-reader)/, source);
  });

  it("refuses a flipped bit in any blob", async () => {
    const fixture = loadFixture("files");
    const blobs = devicesOf(fixture).flatMap((device) => [...device.blobs.keys()]);
    for (const id of blobs) {
      const devices = devicesOf(fixture);
      for (const device of devices) flip(device.blobs.get(id));
      await assert.rejects(readAll(devices, fixture), refusesAs("damaged"), id);
    }
  });

  it("refuses a flipped bit in a log, wherever it is", async () => {
    const fixture = loadFixture("writers-settled");
    for (const [at, log] of entriesOf(fixture).entries())
      for (const entry of log.keys()) {
        const devices = devicesOf(fixture);
        const isKeyLog = log.length > 0 && Buffer.from(log[0] ?? []).toString("latin1", 0, 3) === "CFK";
        // The last statement alone has the keyfile's slot: with it gone, nothing opens.
        if (isKeyLog && entry < log.length - 1) continue;
        flip([...(devices[0]?.logs.values() ?? [])][at]?.entries[entry]);
        await assert.rejects(readAll(devices, fixture), refusesAs(isKeyLog ? "secret" : "damaged"));
      }
  });

  it("refuses entries that were exchanged between logs, dropped, repeated or put in another order", async () => {
    const fixture = loadFixture("writers-settled");
    const changes: ((one: Uint8Array[], other: Uint8Array[]) => void)[] = [
      (one, other) => ([one[0], other[0]] = [other[0] ?? Buffer.alloc(0), one[0] ?? Buffer.alloc(0)]),
      (one, other) => ([one[1], other[1]] = [other[1] ?? Buffer.alloc(0), one[1] ?? Buffer.alloc(0)]),
      (one) => one.shift(),
      (one) => one.splice(1, 1),
      (one) => one.push(one.at(-1) ?? Buffer.alloc(0)),
      (one) => one.reverse(),
    ];
    for (const change of changes) {
      const devices = devicesOf(fixture);
      const [one, other] = writersLogs(devices);
      change(one ?? [], other ?? []);
      await assert.rejects(readAll(devices, fixture), refusesAs("damaged"));
    }
  });

  it("passes over what is no key, and refuses a key log that was put back", async () => {
    const fixture = loadFixture("keys");
    const devices = devicesOf(fixture);
    const [log] = keyLogs(devices);
    assert.ok(log);
    const newest = log.at(-1) ?? Buffer.alloc(0);
    const [later, forged] = [Buffer.from(newest), Buffer.from(newest)];
    later[4] = 2;
    forged.fill(1, 64, 90);
    log.push(Buffer.from("no key"), later, forged, newest.subarray(0, 100));
    await readAll(devices, fixture);
    // Without what the second change of keys added: the first keys open, and the log shows entries under later ones.
    log.splice(log.findIndex((entry) => entry[22] === 2 && entry[3] === 0x4c));
    await assert.rejects(readAll(devices, fixture), refusesAs("damaged"));
  });

  it("refuses a checkpoint with a flipped bit in the record or a part, or without a part", async () => {
    for (const name of ["checkpoint", "checkpoint-writers"]) {
      const fixture = loadFixture(name);
      await assertRefused(fixture, "damaged", (device) => {
        checkpointLog(device).forEach(flip);
      });
      await assertRefused(fixture, "damaged", (device) => {
        partsOn(device).forEach(([, part]) => {
          flip(part);
        });
      });
      await assertRefused(fixture, "missing", (device) => {
        for (const [id] of partsOn(device)) device.blobs.delete(id);
      });
    }
  });

  it("needs the newest of two checkpoints, and passes over what else is in their log", async () => {
    const fixture = loadFixture("checkpoint-writers");
    const devices = devicesOf(fixture);
    for (const device of devices) {
      const log = checkpointLog(device);
      assert.equal(log.length, 3, "the first one, again by another writer, and the second one");
      flip(log[0]);
      log.push(Buffer.from("no checkpoint"));
    }
    await readAll(devices, fixture);
    await assertRefused(fixture, "missing", (device) => checkpointLog(device).pop());
    await assertRefused(fixture, "missing", (device) => {
      flip(checkpointLog(device).at(-1));
    });
  });

  it("refuses logs that do not fit the heads of a checkpoint", async () => {
    const changes: [Reason, (log: MemoryLog) => void][] = [
      [
        "damaged",
        ({ entries }) => {
          flip(entries[0]);
        },
      ],
      ["damaged", ({ entries }) => entries.splice(0, 1, entries[1] ?? Buffer.alloc(0))],
      ["missing", ({ entries }) => entries.splice(0)],
      [
        "missing",
        (log) => {
          log.entries.shift();
          log.first = (log.first ?? 0) + 1;
          log.start = { count: log.first, head: Buffer.alloc(32) };
        },
      ],
    ];
    for (const name of ["checkpoint", "checkpoint-writers"])
      for (const [reason, change] of changes) {
        const fixture = loadFixture(name);
        const trimmed = (device: MemoryDevice): MemoryLog[] =>
          [...device.logs.values()].filter(({ first = 0 }) => first > 0);
        for (const at of trimmed(devicesOf(fixture)[0] ?? new MemoryDevice()).keys())
          await assertRefused(fixture, reason, (device) => {
            const log = trimmed(device)[at];
            if (log) change(log);
          });
      }
  });

  it("misses the last entry of a log when another one has seen it", async () => {
    const fixture = loadFixture("writers-settled");
    const outcomes = await Promise.all(
      writersLogs(devicesOf(fixture)).map(async (_, at) => {
        const devices = devicesOf(fixture);
        writersLogs(devices)[at]?.pop();
        return readAll(devices, fixture).then(
          () => "read",
          (error: unknown) => (refusesAs("missing")(error) ? "missing" : String(error)),
        );
      }),
    );
    // Nobody has seen the last entry of the one who wrote last.
    assert.deepEqual(outcomes.sort(), ["missing", "missing", "read"]);
  });
});

/** When all devices are changed alike. */
async function assertRefused(
  fixture: Fixture,
  reason: Reason,
  change: (device: MemoryDevice) => unknown,
): Promise<void> {
  const devices = devicesOf(fixture);
  devices.forEach(change);
  await assert.rejects(readAll(devices, fixture), refusesAs(reason));
}

/** Its id begins as that of the key log does, with the repository's. */
function checkpointLog(device: MemoryDevice): Uint8Array[] {
  const isKey = ({ entries: [entry] }: MemoryLog): boolean => entry?.[0] === 0x43;
  const logs = [...device.logs];
  const [keyLogId = ""] = logs.find(([, log]) => isKey(log)) ?? [];
  const found = logs.find(([id, log]) => id.startsWith(keyLogId.slice(0, 32)) && !isKey(log));
  return found?.[1].entries ?? [];
}

const partsOn = (device: MemoryDevice): [string, Buffer][] =>
  [...device.blobs].filter(([, blob]) => blob.toString("latin1", 0, 4) === "CFCP");

const entriesOf = (fixture: Fixture): Uint8Array[][] =>
  devicesOf(fixture).flatMap(({ logs }) => [...logs.values()].map(({ entries }) => entries));

/** Of the first device. */
function writersLogs([device]: MemoryDevice[]): Uint8Array[][] {
  const logs = [...(device?.logs.values() ?? [])].map(({ entries }) => entries);
  return logs.filter(([entry]) => entry?.[0] === 1);
}

const keyLogs = (devices: MemoryDevice[]): Uint8Array[][] =>
  devices.flatMap(({ logs }) =>
    [...logs.values()].map(({ entries }) => entries).filter(([entry]) => entry?.[0] === 0x43),
  );

function flip(bytes: Uint8Array | undefined): void {
  if (bytes) bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4;
}
