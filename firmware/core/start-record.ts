// SPDX-License-Identifier: MIT
/**
 * What a device remembers of its starts, in its own flash: how many there were, how they ended, and the last uncaught
 * exception. After several that failed in a row the next is a start in safe mode.
 *
 * Wear: two writes for each start that holds (when it begins, when it has held), one for one that does not, and one more
 * for an exception. A setting takes a few dozen bytes of flash; safe mode bounds how often a device can start anew.
 */
import { MAX_LINE_BYTES } from "../protocol/limits";
import { fitText } from "../protocol/message";
import { decodeUtf8, encodeUtf8 } from "../protocol/utf8";
import type { Ports, Preferences, ResetReason } from "./io";
import { logText } from "./log-text";

/** u32 starts, u32 exceptions, u32 watchdogs, u8 starts in a row that have not held; of an older firmware the first only. */
const STARTS_KEY = "boots";
const STARTS_BYTES = 13;
/** u32 start, text. */
const EXCEPTION_KEY = "exception";

/** So many starts in a row fail before one is made in safe mode: a bad moment is over by then, a bad image is not. */
export const FAILED_STARTS = 5;
const MOST_FAILED = 255;

interface Counts {
  starts: number;
  exceptions: number;
  watchdogs: number;
  /** Starts in a row that have not held, or not yet. */
  failed: number;
}

export class StartRecord {
  /** This start, from 1. */
  readonly start: number;
  /** Why: what the platform says, or the exception that made the firmware restart itself. */
  readonly reason: ResetReason;
  readonly exceptions: number;
  readonly watchdogs: number;
  /** Starts in a row before this one that ended by exception or watchdog before they had held. */
  readonly failedStarts: number;
  /** The start that the last exception ended, 0: none. */
  readonly exceptionStart: number;
  /** Its text, "" when there is none. */
  readonly exception: string;
  readonly #preferences: Preferences;

  /** Counts this start. Where nothing can be kept, every start is the first. */
  constructor(preferences: Preferences, reason: ResetReason) {
    this.#preferences = preferences;
    const before = readCounts(preferences);
    const { start, text } = readException(preferences);
    const isException = before.starts > 0 && start === before.starts;
    // A firmware that restarts itself looks as if it had been told to.
    const isOwn = isException && (reason === "software" || reason === "unknown");
    this.reason = isOwn ? "exception" : reason;
    const hasFailed = this.reason === "exception" || this.reason === "watchdog";
    this.start = (before.starts + 1) % 2 ** 32;
    this.exceptions = before.exceptions + (isException || this.reason === "exception" ? 1 : 0);
    this.watchdogs = before.watchdogs + (this.reason === "watchdog" ? 1 : 0);
    this.failedStarts = hasFailed ? before.failed : 0;
    this.exceptionStart = start;
    this.exception = text;
    this.write(Math.min(MOST_FAILED, this.failedStarts + 1));
  }

  get isSafe(): boolean {
    return this.failedStarts >= FAILED_STARTS;
  }

  /** The start before this one ended with the exception that is remembered. */
  get isExceptionNew(): boolean {
    return this.exceptionStart !== 0 && this.exceptionStart === this.start - 1;
  }

  /** This start has held: it is none that failed, however it ends. */
  hold(): void {
    this.write(0);
  }

  private write(failed: number): void {
    const bytes = new Uint8Array(STARTS_BYTES);
    setU32(bytes, 0, this.start);
    setU32(bytes, 4, this.exceptions);
    setU32(bytes, 8, this.watchdogs);
    bytes[12] = failed;
    attemptSet(this.#preferences, STARTS_KEY, bytes);
  }
}

/** Of a platform, with what nobody caught: said, and kept for the next start. What comes then is up to the platform. */
export function reportException(ports: Pick<Ports, "log" | "preferences">, error: unknown): void {
  ports.log.write("warn", `uncaught: ${exceptionText(error)}`);
  keepException(ports.preferences, error);
}

/** For the next start: this one is about to end because of `error`. Uses no state but the flash. Never throws. */
export function keepException(preferences: Preferences, error: unknown): void {
  try {
    const text = encodeUtf8(exceptionText(error));
    const bytes = new Uint8Array(4 + text.length);
    setU32(bytes, 0, readCounts(preferences).starts);
    bytes.set(text, 4);
    preferences.set(EXCEPTION_KEY, bytes);
  } catch {
    // What cannot be kept must not keep the device from starting anew.
  }
}

/** "TypeError: undefined is no object", and where, when that is known. */
export function exceptionText(error: unknown): string {
  try {
    if (!(error instanceof Error)) return logText(String(error));
    const lines = (error.stack ?? "").split("\n");
    const where = lines.find((line) => line.trim().startsWith("at "))?.trim() ?? "";
    return logText(`${error.name}: ${error.message} ${where}`.trim());
  } catch {
    return "an exception that cannot be described";
  }
}

function readCounts(preferences: Preferences): Counts {
  try {
    const bytes = preferences.get(STARTS_KEY) ?? new Uint8Array(0);
    return {
      starts: u32At(bytes, 0),
      exceptions: u32At(bytes, 4),
      watchdogs: u32At(bytes, 8),
      failed: bytes[12] ?? 0,
    };
  } catch {
    return { starts: 0, exceptions: 0, watchdogs: 0, failed: 0 };
  }
}

function readException(preferences: Preferences): { start: number; text: string } {
  try {
    const bytes = preferences.get(EXCEPTION_KEY);
    if (bytes && bytes.length >= 4)
      return { start: u32At(bytes, 0), text: fitText(decodeUtf8(bytes.subarray(4)), MAX_LINE_BYTES) };
  } catch {
    // Not readable any more: as if there had been none.
  }
  return { start: 0, text: "" };
}

function attemptSet(preferences: Preferences, key: string, value: Uint8Array): void {
  try {
    preferences.set(key, value);
  } catch {
    // Counting is not worth a device.
  }
}

function u32At(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = at; i < at + 4; i++) value = value * 256 + (bytes[i] ?? 0);
  return value;
}

function setU32(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 3; i >= 0; i--) {
    bytes[at + i] = value % 256;
    value = Math.floor(value / 256);
  }
}
