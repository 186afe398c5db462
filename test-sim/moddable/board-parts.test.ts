// SPDX-License-Identifier: MIT
/** What a board decides around its hardware, with the hardware played: the card, Wi-Fi, the radio's sleep. Needs no SDK. */
import assert from "node:assert/strict";

import { type Log, type Preferences, StorageError, type TimerHandle } from "../../firmware/core/io";
import { cardBusOf } from "../../firmware/platform/moddable/esp32/board-config";
import { type CardDriver, CardFailure } from "../../firmware/platform/moddable/esp32/card-driver";
import { RadioPower, wakingTcp } from "../../firmware/platform/moddable/esp32/radio-power";
import { SdCard, contentOf } from "../../firmware/platform/moddable/esp32/sd-card";
import { WifiKeeper, type WifiStation } from "../../firmware/platform/moddable/esp32/wifi-keeper";
import type { TcpOptions } from "../../firmware/platform/moddable/guarded-tcp";

/** A clock that only moves when it is told to, and its timers. */
class PlayedTime {
  nowMs = 0;
  /** Undefined until a server has answered. */
  unixBaseMs: number | undefined;
  #waiting: { dueMs: number; callback: () => void }[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }

  unixMs(): number | undefined {
    return this.unixBaseMs === undefined ? undefined : this.unixBaseMs + this.nowMs;
  }

  set(delayMs: number, callback: () => void): TimerHandle {
    const timer = { dueMs: this.nowMs + delayMs, callback };
    this.#waiting.push(timer);
    return timer;
  }

  clear(handle: TimerHandle): void {
    this.#waiting = this.#waiting.filter((timer) => timer !== handle);
  }

  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = this.#waiting.filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs);
      if (!next) break;
      this.clear(next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.callback();
    }
    this.nowMs = endMs;
  }
}

class KeptLines implements Log {
  readonly lines: string[] = [];
  write(level: string, message: string): void {
    this.lines.push(`${level} ${message}`);
  }
}

class KeptSettings implements Preferences {
  readonly #values = new Map<string, Uint8Array>();
  isBroken = false;
  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }
  set(key: string, value: Uint8Array): void {
    if (this.isBroken) throw new Error("flash is worn");
    this.#values.set(key, value.slice());
  }
}

type PlayedCard = "none" | "fat" | "exfat" | "silent";

/** A slot with a card of some kind in it. */
class PlayedDriver implements CardDriver {
  mounts = 0;
  formats = 0;
  isMounted = false;
  failsToFormat = false;
  inserted: PlayedCard;

  constructor(inserted: PlayedCard) {
    this.inserted = inserted;
  }

  mount(_path: string, _bus: unknown, _openFiles: number, mayFormat: boolean): number {
    this.mounts++;
    assert.equal(this.isMounted, false, "mounted twice");
    if (this.inserted === "none") return failure(0x107, CardFailure.noCard);
    if (this.inserted === "exfat") {
      if (!mayFormat || this.failsToFormat) return failure(0xffff, CardFailure.noFileSystem);
      this.formats++;
      this.inserted = "fat";
    }
    this.isMounted = true;
    return 0;
  }

  unmount(): number {
    this.isMounted = false;
    return 0;
  }

  isThere(): boolean {
    return this.isMounted && this.inserted === "fat";
  }

  facts(into: Float64Array): void {
    into.set([0x1a2b3c4d, 32e9, 1, 20000]);
  }

  probe(_path: string, _bus: unknown, facts: Float64Array, sector: Uint8Array): number {
    assert.equal(this.isMounted, false, "probed while mounted");
    if (this.inserted === "none") return failure(0x107, CardFailure.noCard);
    this.facts(facts);
    sector.set(new TextEncoder().encode("EXFAT"), 3);
    return 0;
  }
}

function failure(code: number, kind: number): number {
  return -(code * 8 + kind);
}

const BUS = { width: 1, clockKhz: 20_000, pins: [14, 15, 2, 4, 12, 13] };

describe("the SD card of a board", () => {
  const parts = (inserted: PlayedCard, formatSerial?: string) => {
    const driver = new PlayedDriver(inserted);
    const clock = new PlayedTime();
    const log = new KeptLines();
    const preferences = new KeptSettings();
    const make = () =>
      new SdCard({
        driver,
        path: "/sd",
        bus: BUS,
        clock,
        log,
        preferences,
        ...(formatSerial === undefined ? {} : { formatSerial }),
      });
    return { driver, clock, log, preferences, make, card: make() };
  };
  const refusal = (card: SdCard): StorageError => {
    try {
      card.attach();
    } catch (error) {
      assert.ok(error instanceof StorageError);
      return error;
    }
    throw new Error("it was attached");
  };

  it("is mounted once, and says what it is", () => {
    const { card, driver, log } = parts("fat");
    card.attach();
    card.attach();
    assert.equal(driver.mounts, 1);
    assert.deepEqual(log.lines, ["info card: 1a2b3c4d, 32.0 GB, 1 bit, 20000 kHz"]);
    assert.equal(card.isThere(), true);
  });

  it("is looked for every 3 s at most, and taken when it comes", () => {
    const { card, driver, clock } = parts("none");
    for (let i = 0; i < 10; i++) assert.equal(refusal(card).code, "noCard");
    assert.equal(driver.mounts, 1);
    driver.inserted = "fat";
    clock.pass(2_999);
    assert.equal(refusal(card).code, "noCard");
    clock.pass(1);
    card.attach();
    assert.equal(driver.mounts, 2);
  });

  it("is let go of when it is gone, and mounted again after a pause", () => {
    const { card, driver, clock, log } = parts("fat");
    card.attach();
    driver.inserted = "none";
    assert.equal(card.isThere(), false);
    card.detach();
    card.detach();
    assert.equal(driver.isMounted, false);
    driver.inserted = "fat";
    assert.equal(refusal(card).code, "noCard");
    clock.pass(3_000);
    card.attach();
    assert.equal(log.lines.length, 3);
  });

  it("is never formatted unasked, and told about once, with its number", () => {
    const { card, driver, clock, log } = parts("exfat");
    assert.equal(refusal(card).code, "io");
    clock.pass(10_000);
    refusal(card);
    assert.equal(driver.formats, 0);
    assert.equal(log.lines.length, 1);
    assert.match(log.lines[0] ?? "", /1a2b3c4d has exFAT, not FAT32.*formatCard=1a2b3c4d/);
  });

  it("is not formatted for another card's number", () => {
    const { card, driver } = parts("exfat", "00000001");
    refusal(card);
    assert.equal(driver.formats, 0);
  });

  it("is formatted for its own number, once, also over restarts", () => {
    const { card, driver, clock, make } = parts("exfat", "1A2B3C4D");
    card.attach();
    assert.equal(driver.formats, 1);
    card.detach();
    driver.inserted = "exfat";
    clock.pass(10_000);
    assert.match(refusal(card).message, /was formatted before/);
    assert.match(refusal(make()).message, /was formatted before/);
    assert.equal(driver.formats, 1);
  });

  it("is not formatted when the board cannot keep that it was", () => {
    const { card, driver, preferences } = parts("exfat", "1a2b3c4d");
    preferences.isBroken = true;
    assert.match(refusal(card).message, /cannot keep/);
    assert.equal(driver.formats, 0);
  });

  it("says so when formatting fails, and does not try by itself again", () => {
    const { card, driver, clock } = parts("exfat", "1a2b3c4d");
    driver.failsToFormat = true;
    assert.match(refusal(card).message, /cannot be formatted/);
    driver.failsToFormat = false;
    clock.pass(10_000);
    assert.match(refusal(card).message, /was formatted before/);
  });

  it("tells file systems by their first sector", () => {
    const sector = (type?: number, text?: [number, string]): Uint8Array => {
      const bytes = new Uint8Array(512);
      if (type !== undefined) bytes.set([0x55, 0xaa], 510);
      if (type !== undefined) bytes[450] = type;
      if (text) bytes.set(new TextEncoder().encode(text[1]), text[0]);
      return bytes;
    };
    assert.equal(contentOf(sector()), "nothing");
    assert.equal(contentOf(new Uint8Array(512).fill(1)), "no partition table");
    assert.equal(contentOf(sector(0)), "an empty partition table");
    assert.equal(contentOf(sector(7)), "exFAT or NTFS");
    assert.equal(contentOf(sector(0xee)), "a GPT");
    assert.equal(contentOf(sector(0x83)), "a Linux file system");
    assert.equal(contentOf(sector(0x0c)), "a damaged FAT");
    assert.equal(contentOf(sector(0, [82, "FAT32"])), "a damaged FAT");
    assert.equal(contentOf(sector(0, [3, "NTFS"])), "NTFS");
    assert.equal(contentOf(sector(0xa5)), "a partition of type a5");
  });
});

describe("the wiring of a board's card", () => {
  it("is the ESP32-CAM's when nothing is said", () => {
    assert.deepEqual(cardBusOf({}), BUS);
  });

  it("comes as text from the command line", () => {
    assert.deepEqual(cardBusOf({ sdWidth: "4", sdClockKhz: "40000", sdPins: "36,35,37,38,33,34" }), {
      width: 4,
      clockKhz: 40_000,
      pins: [36, 35, 37, 38, 33, 34],
    });
  });

  it("is refused when it is none", () => {
    assert.throws(() => cardBusOf({ sdWidth: 2 }), /sdWidth: expected 1 or 4, got 2/);
    assert.throws(() => cardBusOf({ sdClockKhz: 52_000 }), /sdClockKhz: expected 400..40000/);
    assert.throws(() => cardBusOf({ sdPins: "14,15" }), /sdPins: expected clk,cmd,d0,d1,d2,d3/);
    assert.throws(() => cardBusOf({ sdPins: "14,15,2,4,12,x" }), /sdPins/);
  });
});

class PlayedStation implements WifiStation {
  static latest: PlayedStation;
  connection = 200;
  address: string | undefined;
  attempts: { SSID: string; password?: string }[] = [];
  disconnects = 0;
  readonly #onChanged: () => void;

  constructor(options: { onChanged(): void }) {
    this.#onChanged = () => {
      options.onChanged();
    };
    PlayedStation.latest = this;
  }

  connect(options: { SSID: string; password?: string }): void {
    if (this.connection === 300) throw new Error("already connecting");
    this.attempts.push(options);
    this.connection = 300;
  }

  disconnect(): void {
    this.disconnects++;
    this.connection = 200;
  }

  change(connection: number): void {
    this.connection = connection;
    this.address = connection === 500 ? "192.168.1.20" : undefined;
    this.#onChanged();
  }
}

describe("a board's Wi-Fi", () => {
  const parts = () => {
    const clock = new PlayedTime();
    const log = new KeptLines();
    const questions: ((isSet: boolean) => void)[] = [];
    const troubles: string[] = [];
    let ready = 0;
    new WifiKeeper({
      credentials: { ssid: "home", password: "secret" },
      Wifi: PlayedStation,
      askTime: (done) => questions.push(done),
      clock,
      timers: clock,
      log,
      onTrouble: (name) => troubles.push(name),
      onReady: () => ready++,
    });
    clock.pass(0);
    const answer = (isSet: boolean): void => {
      if (isSet) clock.unixBaseMs = Date.UTC(2026, 0, 1);
      questions.shift()?.(isSet);
    };
    return { clock, log, questions, answer, ready: () => ready, station: PlayedStation.latest, troubles };
  };

  it("is ready when there are an address and the time, once", () => {
    const { station, answer, ready, clock, questions } = parts();
    assert.deepEqual(station.attempts, [{ SSID: "home", password: "secret" }]);
    station.change(400);
    station.change(500);
    assert.equal(ready(), 0);
    answer(true);
    assert.equal(ready(), 1);
    clock.pass(24 * 60 * 60 * 1000);
    assert.equal(questions.length, 1, "the time is asked for again after a day");
    answer(true);
    assert.equal(ready(), 1);
  });

  it("asks for the time until it has it", () => {
    const { station, answer, ready, clock, questions, troubles } = parts();
    station.change(500);
    for (let i = 0; i < 5; i++) {
      assert.equal(questions.length, 1);
      answer(false);
      clock.pass(5_000);
    }
    assert.deepEqual(troubles, Array(5).fill("clock"));
    answer(true);
    assert.equal(ready(), 1);
    clock.pass(24 * 60 * 60 * 1000);
    answer(false);
    assert.equal(troubles.length, 5, "a clock that is set goes on");
    clock.pass(10 * 60_000 - 1);
    assert.equal(questions.length, 0);
    clock.pass(1);
    assert.equal(questions.length, 1, "and is asked for every ten minutes until somebody answers");
  });

  it("connects again after every loss, with pauses that grow to half a minute", () => {
    const { station, clock } = parts();
    let before = clock.nowMs;
    const pauses: number[] = [];
    for (let i = 1; i <= 8; i++) {
      station.change(200);
      while (station.attempts.length === i) clock.pass(500);
      pauses.push(clock.nowMs - before);
      before = clock.nowMs;
    }
    assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    station.change(500);
    station.change(200);
    clock.pass(1000);
    assert.equal(station.attempts.length, 10, "after a success the pauses start over");
  });

  it("begins anew when no address comes", () => {
    const { station, clock } = parts();
    station.change(400);
    clock.pass(30_000);
    assert.equal(station.disconnects, 1);
    clock.pass(1_000);
    assert.equal(station.attempts.length, 2);
  });

  it("says once that there is no connection, and never the password", () => {
    const { station, clock, log, troubles } = parts();
    for (let i = 0; i < 5; i++) {
      station.change(200);
      clock.pass(60_000);
    }
    // What nobody changes by itself fails by patience, once a minute more.
    assert.ok(troubles.length >= 5 && troubles.every((name) => name === "wifi"), troubles.join());
    assert.equal(log.lines.filter((line) => line.startsWith("warn")).length, 1);
    assert.ok(!log.lines.join().includes("secret"));
  });
});

describe("a board's radio", () => {
  it("is awake while bytes move, and sleeps 10 s after the last", () => {
    const clock = new PlayedTime();
    const saving: boolean[] = [];
    const power = new RadioPower({ setPowerSave: (isSaving) => saving.push(isSaving), clock, timers: clock });
    let given: TcpOptions | undefined;
    const written: number[] = [];
    class PlayedTcp {
      constructor(options: TcpOptions) {
        given = options;
      }
      read(): void {}
      write(bytes: Uint8Array): void {
        written.push(bytes.length);
      }
      close(): void {}
    }
    const counts: number[] = [];
    const Tcp = wakingTcp(PlayedTcp, power);
    const socket = new Tcp({
      address: "127.0.0.1",
      port: 1,
      nodelay: true,
      onReadable: (count) => counts.push(count),
      onWritable: () => undefined,
      onError: () => undefined,
    });
    socket.write(new Uint8Array(40));
    assert.deepEqual(saving, [], "a heartbeat wakes nobody");
    given?.onReadable(1400);
    clock.pass(9_000);
    socket.write(new Uint8Array(4000));
    clock.pass(9_000);
    assert.deepEqual(saving, [false]);
    clock.pass(1_000);
    assert.deepEqual(saving, [false, true]);
    assert.deepEqual([counts, written], [[1400], [40, 4000]]);
  });
});
