// SPDX-License-Identifier: MIT
/**
 * The SD card as what comes and goes beneath the storage port: when it is mounted, what a failure means, and the one way
 * in which it is ever formatted.
 *
 * A card without a FAT file system is left as it is and named in the log by its serial number. Only an image that was
 * built for this very card (`formatCard=SERIAL`) formats it, and once: the board keeps the number, so that a file system
 * which breaks later is never taken for a card that waits to be formatted. A card that mounts is never formatted.
 */
import {
  type Clock,
  type Log,
  type Preferences,
  StorageError,
  type StorageErrorCode,
} from "../../../core/io";
import type { StorageMedium } from "../storage-medium";
import { CARD_FACTS, type CardBus, type CardDriver, CardFact, CardFailure } from "./card-driver";

export interface SdCardOptions {
  driver: CardDriver;
  /** Where it is mounted. */
  path: string;
  bus: CardBus;
  /** Serial number, 8 hex digits, of the card that may be formatted. */
  formatSerial?: string;
  clock: Clock;
  log: Log;
  preferences: Preferences;
}

/** Between two attempts: without a card each holds everything else up for a moment. Less than the core waits (10 s). */
const PAUSE_MS = 3_000;
/** BOARD_LIMITS opens 6, and a look at the marker 1. */
const OPEN_FILES = 8;
const SECTOR_BYTES = 512;
const FORMATTED_KEY = "cardformatted";

export class SdCard implements StorageMedium {
  readonly #options: SdCardOptions;
  #isAttached = false;
  /** Of the last attempt, or since the card was lost. */
  #sinceMs: number | undefined;
  #failure: StorageError | undefined;
  /** So that a card is told about once, and not at every attempt. */
  #told = "";

  constructor(options: SdCardOptions) {
    this.#options = options;
  }

  attach(): void {
    if (this.#isAttached) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#sinceMs === undefined || nowMs - this.#sinceMs >= PAUSE_MS) {
      this.#failure = this.#mount();
      // A mount may take long; the pause is what comes after it.
      this.#sinceMs = this.#options.clock.monotonicMs();
    }
    if (this.#failure) throw this.#failure;
    this.#isAttached = true;
  }

  isThere(): boolean {
    return this.#isAttached && this.#options.driver.isThere();
  }

  detach(): void {
    if (!this.#isAttached) return;
    this.#isAttached = false;
    this.#sinceMs = this.#options.clock.monotonicMs();
    this.#failure = new StorageError("noCard", "the card was taken out");
    const result = this.#options.driver.unmount();
    this.#tell("warn", result < 0 ? `let go of, with an error (${codeOf(result)})` : "let go of");
  }

  /** Nothing when it is mounted. */
  #mount(): StorageError | undefined {
    const { driver, path, bus } = this.#options;
    const result = driver.mount(path, bus, OPEN_FILES, false);
    if (result >= 0) {
      this.#tellFacts();
      return undefined;
    }
    if (kindOf(result) === CardFailure.noFileSystem) return this.#withoutFileSystem();
    return this.#refuse(result);
  }

  #withoutFileSystem(): StorageError | undefined {
    const { driver, path, bus, formatSerial } = this.#options;
    const facts = new Float64Array(CARD_FACTS);
    const sector = new Uint8Array(SECTOR_BYTES);
    const result = driver.probe(path, bus, facts, sector);
    if (result < 0) return this.#refuse(result);
    const serial = serialOf(facts);
    const what = contentOf(sector);
    if (formatSerial?.toLowerCase() === serial) {
      if (this.#wasFormatted(serial))
        return this.#fail(
          `card ${serial} was formatted before and has ${what} now: left alone`,
          "unformatted",
        );
      return this.#format(serial);
    }
    if (what === DAMAGED_FAT)
      return this.#fail(`card ${serial} has a FAT that cannot be mounted: check it on a computer`);
    return this.#fail(
      `card ${serial} has ${what}, not FAT32. To erase it, build with formatCard=${serial}, or format it on a computer`,
      "unformatted",
    );
  }

  /** The number is kept first: an attempt that is cut off is not repeated by itself. */
  #format(serial: string): StorageError | undefined {
    const { driver, path, bus, preferences, log } = this.#options;
    try {
      preferences.set(FORMATTED_KEY, bytesOf(serial));
    } catch {
      return this.#fail(`card ${serial} is not formatted: the board cannot keep that it was`);
    }
    log.write("warn", `card: formatting ${serial}`);
    const result = driver.mount(path, bus, OPEN_FILES, true);
    if (result < 0) return this.#fail(`card ${serial} cannot be formatted (${codeOf(result)})`);
    this.#tellFacts();
    return undefined;
  }

  #wasFormatted(serial: string): boolean {
    const kept = this.#options.preferences.get(FORMATTED_KEY);
    return kept !== undefined && kept.join() === bytesOf(serial).join();
  }

  #refuse(result: number): StorageError {
    switch (kindOf(result)) {
      case CardFailure.noCard:
        this.#told = "";
        return new StorageError("noCard", "there is no card, or it does not answer");
      case CardFailure.noMemory:
        return this.#fail("not enough memory to mount the card");
      case CardFailure.badPins:
        return this.#fail("the card's pins or width are not this chip's; see sdPins and sdWidth");
      default:
        return this.#fail(`the card cannot be used (${codeOf(result)})`);
    }
  }

  #fail(message: string, code: StorageErrorCode = "io"): StorageError {
    this.#tell("warn", message);
    return new StorageError(code, message);
  }

  #tellFacts(): void {
    const facts = new Float64Array(CARD_FACTS);
    this.#options.driver.facts(facts);
    const at = (fact: number): number => facts[fact] ?? 0;
    const gigabytes = (at(CardFact.capacityBytes) / 1e9).toFixed(1);
    this.#tell(
      "info",
      `${serialOf(facts)}, ${gigabytes} GB, ${at(CardFact.width)} bit, ${at(CardFact.clockKhz)} kHz`,
    );
  }

  #tell(level: "info" | "warn", message: string): void {
    if (this.#told !== message) this.#options.log.write(level, `card: ${message}`);
    this.#told = message;
  }
}

/** What a first sector says lies behind it, for people. */
export function contentOf(sector: Uint8Array): string {
  const textAt = (at: number, length: number): string =>
    String.fromCharCode(...sector.subarray(at, at + length));
  if (textAt(3, 5) === "EXFAT") return "exFAT";
  if (textAt(3, 4) === "NTFS") return "NTFS";
  if (sector[510] !== 0x55 || sector[511] !== 0xaa) {
    return sector.every((byte) => byte === 0) ? "nothing" : "no partition table";
  }
  if (textAt(82, 5) === "FAT32" || textAt(54, 3) === "FAT") return DAMAGED_FAT;
  const type = sector[446 + 4] ?? 0;
  if (type === 0x07) return "exFAT or NTFS";
  if (type === 0xee) return "a GPT";
  if (type === 0x83) return "a Linux file system";
  if (FAT_TYPES.includes(type)) return DAMAGED_FAT;
  return type === 0 ? "an empty partition table" : `a partition of type ${type.toString(16)}`;
}

const DAMAGED_FAT = "a damaged FAT";
const FAT_TYPES: readonly number[] = [0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e];

function kindOf(result: number): number {
  return -result % 8;
}

function codeOf(result: number): string {
  return `error 0x${Math.floor(-result / 8).toString(16)}`;
}

function serialOf(facts: Float64Array): string {
  return (facts[CardFact.serial] ?? 0).toString(16).padStart(8, "0");
}

/** Of 8 hex digits. */
function bytesOf(serial: string): Uint8Array {
  const number = parseInt(serial, 16);
  return Uint8Array.of(number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255);
}
