// SPDX-License-Identifier: MIT
/** When a start counts as good, what a device does after too many that were not, and how it is watched. */
import assert from "node:assert/strict";
import { FAILED_STARTS } from "../../firmware/core/start-record";
import { CardState, FailureCode, ResetCause, verbs } from "../../firmware/protocol/verbs";
import type { DeviceHealth, DeviceStatus, Failure, LogLines } from "../../firmware/protocol/verbs";
import { MemoryPreferences } from "../memory-preferences";
import { ClientBench } from "./client-bench";
import { DeviceBench } from "./device-bench";

const MINUTE_MS = 60_000;
const SAFE_MS = 30 * MINUTE_MS;
const LONGEST_HEARTBEAT = { heartbeatSeconds: 600 };

/** Starts in a row that have not held, as the flash has it. */
function failedIn(preferences: MemoryPreferences): number | undefined {
  return preferences.get("boots")?.[12];
}

function afterFailures(count: number): MemoryPreferences {
  const preferences = new MemoryPreferences();
  preferences.set("boots", Uint8Array.of(0, 0, 0, 40, 0, 0, 0, 9, 0, 0, 0, 1, count));
  preferences.set("exception", Uint8Array.of(0, 0, 0, 40, ...Buffer.from("TypeError: broken")));
  return preferences;
}

describe("a start", () => {
  it("has held after a minute online", () => {
    const preferences = new MemoryPreferences();
    const bench = new DeviceBench({ preferences });
    bench.turns.advance(20_000);
    bench.welcome(LONGEST_HEARTBEAT);
    bench.turns.advance(MINUTE_MS - 1);
    assert.equal(failedIn(preferences), 1);
    bench.turns.advance(1);
    assert.equal(failedIn(preferences), 0);
    assert.equal(bench.restarts, 0);
  });

  it("has not when the connection broke meanwhile, and has when it runs an hour without one", () => {
    const preferences = new MemoryPreferences();
    const bench = new DeviceBench({ preferences });
    bench.welcome(LONGEST_HEARTBEAT);
    bench.turns.advance(MINUTE_MS - 1000);
    bench.relay.fail("lost");
    bench.turns.advance(59 * MINUTE_MS);
    assert.equal(failedIn(preferences), 1);
    bench.turns.advance(MINUTE_MS);
    assert.equal(failedIn(preferences), 0);
  });

  it("is watched: the watchdog is fed from the loop, and no more when the device is closed", () => {
    const fed: number[] = [];
    const bench = new DeviceBench({
      watchdog: {
        feed: (withinMs) => {
          fed.push(withinMs);
        },
      },
    });
    bench.turns.advance(20_000);
    assert.deepEqual(fed, [30_000, 30_000, 30_000, 30_000, 30_000]);
    bench.device.close();
    bench.turns.advance(20_000);
    assert.equal(fed.length, 5);
  });

  it("leaves no timer behind when its device is closed while it is online", () => {
    const bench = new DeviceBench();
    bench.welcome();
    bench.device.close();
    bench.turns.run();
    assert.equal(bench.turns.nextInMs, undefined);
  });
});

describe("safe mode", () => {
  it("leaves the card alone, and serves what tells about the device and nothing else", () => {
    const bench = new DeviceBench({ preferences: afterFailures(FAILED_STARTS), resetReason: "software" });
    bench.welcome();
    const client = ClientBench.paired(bench, 1);
    const status = client.request(verbs.status, 1, {}) as DeviceStatus;
    assert.deepEqual(
      [status.bootCount, status.resetReason, status.card, status.capacityBytes],
      [41, ResetCause.exception, CardState.none, 0],
    );
    const health = client.request(verbs.health, 1, {}) as DeviceHealth;
    assert.deepEqual(health, {
      isSafe: true,
      cause: ResetCause.exception,
      failedStarts: 5,
      exceptions: 10,
      watchdogs: 1,
      exceptionStart: 40,
      exception: "TypeError: broken",
      freeBytes: 0,
      leastFreeBytes: 0,
    });
    const { lines } = client.request(verbs.deviceLog, 1, { from: 0 }) as LogLines;
    assert.ok(lines.some(({ text }) => text.startsWith("safe mode: 5 starts in a row failed")));
    const id = new Uint8Array(32).fill(1);
    for (const refused of [
      client.request(verbs.put, 1, { id, sizeBytes: 10 }),
      client.request(verbs.has, 1, { ids: [id] }),
      client.request(verbs.get, 1, { id, offsetBytes: 0, lengthBytes: 1 }),
      client.request(verbs.list, 1, { after: id, limit: 1 }),
      client.request(verbs.delete, 1, { ids: [id] }),
      client.request(verbs.logHead, 1, { log: id }),
      client.request(verbs.logAppend, 1, { log: id, previous: id, entry: id }),
      client.request(verbs.logRead, 1, { log: id, from: 0, limitBytes: 1 }),
      client.request(verbs.logList, 1, { after: id }),
      client.request(verbs.logTrim, 1, { log: id, before: 0, head: id }),
      client.request(verbs.logSkip, 1, { log: id, first: 1, previous: id, entry: id }),
    ])
      assert.equal((refused as Failure).code, FailureCode.safeMode);
    bench.turns.advance(SAFE_MS - 1000);
    assert.equal(bench.simCard.operations, 0);
  });

  it("ends after half an hour, connected or not: the device starts as usual", () => {
    for (const isOnline of [true, false]) {
      const preferences = afterFailures(FAILED_STARTS);
      const bench = new DeviceBench({ preferences, resetReason: "exception" });
      if (isOnline) bench.welcome(LONGEST_HEARTBEAT);
      bench.turns.advance(SAFE_MS - 1);
      assert.equal(bench.restarts, 0);
      bench.turns.advance(1);
      assert.equal(bench.restarts, 1);
      const next = new DeviceBench({ preferences, resetReason: "software" });
      next.welcome();
      const health = ClientBench.paired(next, 1).request(verbs.health, 1, {}) as DeviceHealth;
      assert.deepEqual([health.isSafe, health.failedStarts, health.cause], [false, 0, 0]);
    }
  });

  it("ends when the power goes", () => {
    const preferences = afterFailures(FAILED_STARTS);
    new DeviceBench({ preferences, resetReason: "exception" });
    const bench = new DeviceBench({ preferences, resetReason: "powerOn" });
    assert.ok(bench.lines.every((line) => !line.includes("safe mode")));
    assert.ok(bench.simCard.operations > 0);
  });

  it("waits ever longer before it goes online when even that fails, up to ten minutes", () => {
    for (const [failed, pauseMs] of [
      [FAILED_STARTS, 0],
      [FAILED_STARTS + 1, 10_000],
      [FAILED_STARTS + 3, 40_000],
      [200, 600_000],
    ] as const) {
      const bench = new DeviceBench({ preferences: afterFailures(failed), resetReason: "exception" });
      if (pauseMs > 0) {
        bench.turns.advance(pauseMs - 1);
        assert.equal(bench.connections.length, 0, String(failed));
        bench.turns.advance(1);
      }
      assert.equal(bench.connections.length, 1, String(failed));
    }
  });

  it("is not for a device whose starts fail for lack of a card, a relay or a clock", () => {
    const preferences = new MemoryPreferences();
    for (let i = 0; i < 3 * FAILED_STARTS; i++) {
      const bench = new DeviceBench({ preferences, resetReason: "brownout", isClockSet: false, relay: null });
      bench.turns.advance(1000);
      assert.ok(bench.lines.every((line) => !line.includes("safe mode")));
    }
  });
});
