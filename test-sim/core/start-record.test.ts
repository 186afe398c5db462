// SPDX-License-Identifier: MIT
/** What a device remembers of its starts: counted in flash, whatever ended them. */
import assert from "node:assert/strict";
import type { Preferences, ResetReason } from "../../firmware/core/io";
import { FAILED_STARTS, StartRecord, exceptionText, keepException } from "../../firmware/core/start-record";
import { MAX_LINE_BYTES } from "../../firmware/protocol/limits";
import { ResetCause, verbs } from "../../firmware/protocol/verbs";
import type { DeviceHealth, DeviceStatus } from "../../firmware/protocol/verbs";
import { MemoryPreferences } from "../memory-preferences";
import { ClientBench } from "./client-bench";
import { DeviceBench, SECRET } from "./device-bench";

class CountedPreferences implements Preferences {
  writes = 0;
  readonly #kept = new MemoryPreferences();

  get(key: string): Uint8Array | undefined {
    return this.#kept.get(key);
  }

  set(key: string, value: Uint8Array): void {
    this.writes++;
    this.#kept.set(key, value);
  }
}

function start(preferences: Preferences, reason: ResetReason): StartRecord {
  return new StartRecord(preferences, reason);
}

describe("the record of starts", () => {
  it("counts starts, and goes on from the count of an older firmware", () => {
    const preferences = new CountedPreferences();
    assert.equal(start(preferences, "powerOn").start, 1);
    assert.equal(start(preferences, "software").start, 2);
    preferences.set("boots", Uint8Array.of(0, 0, 1, 0));
    const record = start(preferences, "exception");
    assert.deepEqual([record.start, record.exceptions, record.failedStarts], [257, 1, 0]);
  });

  it("counts exceptions and watchdog resets, with the text of the last exception", () => {
    const preferences = new CountedPreferences();
    start(preferences, "powerOn");
    keepException(preferences, new TypeError("undefined is no object"));
    const second = start(preferences, "software");
    assert.deepEqual([second.reason, second.exceptions, second.watchdogs], ["exception", 1, 0]);
    assert.match(second.exception, /^TypeError: undefined is no object/);
    assert.deepEqual([second.exceptionStart, second.isExceptionNew], [1, true]);
    const third = start(preferences, "watchdog");
    assert.deepEqual([third.reason, third.exceptions, third.watchdogs], ["watchdog", 1, 1]);
    assert.deepEqual([third.exceptionStart, third.isExceptionNew], [1, false]);
    const fourth = start(preferences, "exception");
    assert.deepEqual(
      [fourth.exceptions, fourth.watchdogs],
      [2, 1],
      "an exception whose text could not be kept",
    );
  });

  it("calls a power cut what it is, also after an exception", () => {
    const preferences = new CountedPreferences();
    start(preferences, "powerOn");
    keepException(preferences, new Error("x"));
    const record = start(preferences, "powerOn");
    assert.deepEqual([record.reason, record.exceptions, record.failedStarts], ["powerOn", 1, 0]);
  });

  it("writes twice for a start that holds, once for one that fails, and once for an exception", () => {
    const preferences = new CountedPreferences();
    start(preferences, "powerOn").hold();
    assert.equal(preferences.writes, 2);
    start(preferences, "watchdog");
    assert.equal(preferences.writes, 3);
    start(preferences, "watchdog");
    keepException(preferences, new Error("x"));
    assert.equal(preferences.writes, 5);
  });

  it("calls for safe mode after so many starts in a row that failed before they held, and only then", () => {
    const preferences = new CountedPreferences();
    start(preferences, "powerOn").hold();
    for (let i = 0; i < FAILED_STARTS; i++) {
      const record = start(preferences, i % 2 === 0 ? "exception" : "watchdog");
      assert.deepEqual([record.failedStarts, record.isSafe], [i, false]);
    }
    const safe = start(preferences, "exception");
    assert.deepEqual([safe.failedStarts, safe.isSafe], [FAILED_STARTS, true]);
    for (let i = 0; i < 300; i++) assert.ok(start(preferences, "exception").isSafe);
    for (const reason of ["powerOn", "software", "brownout", "unknown"] as const) {
      assert.equal(start(preferences, reason).isSafe, false, reason);
      for (let i = 1; i < FAILED_STARTS; i++) assert.equal(start(preferences, "exception").isSafe, false);
      assert.equal(start(preferences, "exception").isSafe, true);
    }
    start(preferences, "exception").hold();
    assert.equal(start(preferences, "exception").failedStarts, 0);
  });

  it("does without flash, and with flash that holds anything", () => {
    const broken = (): never => {
      throw new Error("no flash");
    };
    const preferences: Preferences = { get: broken, set: broken };
    keepException(preferences, new Error("x"));
    assert.equal(start(preferences, "exception").start, 1);
    for (const bytes of [[], [1], [0, 0, 0, 1, 255, 255, 255], new Array<number>(1024).fill(255)]) {
      const odd = new MemoryPreferences();
      odd.set("boots", Uint8Array.from(bytes));
      odd.set("exception", Uint8Array.from(bytes));
      const { start: count, exception } = start(odd, "watchdog");
      assert.ok(count < 2 ** 32 && Buffer.byteLength(exception) <= MAX_LINE_BYTES);
      keepException(odd, new Error("y"));
    }
  });

  it("describes whatever is thrown in one line, and no secret that it quotes", () => {
    const odd = { toString: (): never => assert.fail("must not end it") };
    for (const thrown of [undefined, 7, odd, Object.create(null), new Error("x\ny".repeat(500))]) {
      const text = exceptionText(thrown);
      assert.ok(text.length > 0 && Buffer.byteLength(text) <= MAX_LINE_BYTES, text);
    }
    const hex = Buffer.from(SECRET).toString("hex");
    assert.ok(!exceptionText(new Error(`bad secret ${hex}`)).includes(hex.slice(0, 12)));
  });
});

describe("health of a device", () => {
  it("tells what it remembers, with the reset reason in its status and in its log", () => {
    const preferences = new MemoryPreferences();
    new DeviceBench({ preferences });
    keepException(preferences, new RangeError("too far"));
    const bench = new DeviceBench({ preferences, resetReason: "software" });
    bench.welcome();
    const client = ClientBench.paired(bench, 1);
    const status = client.request(verbs.status, 1, {}) as DeviceStatus;
    assert.deepEqual([status.bootCount, status.resetReason], [2, ResetCause.exception]);
    const health = client.request(verbs.health, 1, {}) as DeviceHealth;
    assert.match(health.exception, /^RangeError: too far/);
    assert.deepEqual(
      { ...health, exception: "" },
      {
        isSafe: false,
        cause: 0,
        failedStarts: 1,
        exceptions: 1,
        watchdogs: 0,
        exceptionStart: 1,
        exception: "",
        freeBytes: 0,
        leastFreeBytes: 0,
      },
    );
    assert.match(bench.lines[1] ?? "", /^warn: start 1 ended with: RangeError: too far/);
  });
});
