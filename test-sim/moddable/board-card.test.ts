// SPDX-License-Identifier: MIT
/** What a board decides about its card, with the hardware played. Needs no SDK. */
import assert from "node:assert/strict";

import { type Preferences, StorageError } from "../../firmware/core/io";
import { cardBusOf } from "../../firmware/platform/moddable/esp32/board-config";
import { type CardDriver, CardFailure } from "../../firmware/platform/moddable/esp32/card-driver";
import { SdCard, contentOf } from "../../firmware/platform/moddable/esp32/sd-card";
import { KeptLines, PlayedTime } from "./played-board";

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
    assert.equal(refusal(card).code, "unformatted");
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
