// SPDX-License-Identifier: MIT
/** The time that a board goes by, with time server and clock played. Needs no SDK. */
import assert from "node:assert/strict";

import type { Log } from "../../firmware/core/io";
import { KnownTime } from "../../firmware/platform/moddable/esp32/known-time";
import { MemoryPreferences } from "../memory-preferences";

const DAY_MS = 24 * 60 * 60 * 1000;
const NOON = Date.UTC(2026, 10, 21, 12);

/** A board that starts in 1970, with what its flash has. */
class PlayedBoard {
  unixNowMs: number | undefined;
  /** What the time server says; undefined: nothing. */
  serverMs: number | undefined;
  readonly lines: string[] = [];
  readonly time: KnownTime;

  constructor(preferences: MemoryPreferences) {
    const log: Log = { write: (level, text) => void this.lines.push(`${level} ${text}`) };
    this.time = new KnownTime({
      askServer: (done) => {
        done(this.serverMs);
      },
      setClock: (unixMs) => {
        this.unixNowMs = unixMs;
      },
      clock: { monotonicMs: () => 0, unixMs: () => this.unixNowMs },
      preferences,
      log,
    });
  }

  /** Whether the server answered. */
  ask(serverMs: number | undefined): boolean {
    this.serverMs = serverMs;
    let isAnswered: boolean | undefined;
    this.time.ask((answered) => {
      isAnswered = answered;
    });
    assert.notEqual(isAnswered, undefined);
    return isAnswered === true;
  }
}

describe("a board's time", () => {
  it("is the server's, and none where no server answers and nothing is known", () => {
    const board = new PlayedBoard(new MemoryPreferences());
    assert.equal(board.ask(undefined), false);
    assert.equal(board.unixNowMs, undefined);
    assert.equal(board.ask(NOON), true);
    assert.equal(board.unixNowMs, NOON);
    assert.deepEqual(board.lines, []);
  });

  it("goes on, after a restart without a server, from when the device was online last", () => {
    const flash = new MemoryPreferences();
    const first = new PlayedBoard(flash);
    first.ask(NOON);
    first.time.confirm();
    first.ask(NOON + DAY_MS);
    const second = new PlayedBoard(flash);
    assert.equal(second.ask(undefined), false);
    assert.equal(second.unixNowMs, NOON + DAY_MS);
    assert.deepEqual(second.lines, [
      "warn clock: going on from when this device was online last, 2026-11-22T12:00Z",
    ]);
    second.unixNowMs += 5000;
    second.ask(undefined);
    assert.equal(second.unixNowMs, NOON + DAY_MS + 5000, "a clock that runs is left alone");
    second.ask(NOON + 3 * DAY_MS);
    assert.equal(second.unixNowMs, NOON + 3 * DAY_MS);
  });

  it("is never set to before that, and says so once", () => {
    const flash = new MemoryPreferences();
    const first = new PlayedBoard(flash);
    first.ask(NOON);
    first.time.confirm();
    const board = new PlayedBoard(flash);
    for (let i = 0; i < 3; i++) {
      assert.equal(board.ask(NOON - 400 * DAY_MS), true);
      assert.equal(board.unixNowMs, NOON);
    }
    assert.deepEqual(board.lines, [
      "warn clock: the time server says 2025-10-17T12:00Z, but this device was online at 2026-11-21T12:00Z: the later counts",
    ]);
  });

  it("is not kept when the relay was not reached with it", () => {
    const flash = new MemoryPreferences();
    new PlayedBoard(flash).ask(NOON + 5000 * DAY_MS);
    const board = new PlayedBoard(flash);
    board.ask(NOON);
    assert.equal(board.unixNowMs, NOON);
  });

  it("is written to flash twice a day at most, and known without flash that can be written", () => {
    let writes = 0;
    class CountedPreferences extends MemoryPreferences {
      override set(key: string, value: Uint8Array): void {
        writes++;
        if (writes > 3) throw new Error("worn");
        super.set(key, value);
      }
    }
    const board = new PlayedBoard(new CountedPreferences());
    for (let hour = 0; hour <= 36; hour++) {
      board.ask(NOON + hour * 60 * 60 * 1000);
      board.time.confirm();
    }
    assert.equal(writes, 4);
    board.ask(NOON);
    assert.equal(board.unixNowMs, NOON + 36 * 60 * 60 * 1000);
  });
});
