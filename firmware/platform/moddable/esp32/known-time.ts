// SPDX-License-Identifier: MIT
/**
 * The time that a board knows: of a time server, and what is in flash of before. The clock is never set to less than that: an
 * answer that nobody vouches for cannot make a certificate good again that has expired. And without a time server a board goes
 * on from there, and can judge certificates as of then.
 *
 * Kept is only a time at which the relay's certificate was good: one far ahead, from whoever plays the time server, is not.
 * Wear: 4 bytes twice a day at most.
 */
import type { Clock, Log, Preferences } from "../../../core/io";

/** u32, seconds since 1970. */
const KEY = "time";
const BYTES = 4;
const KEEP_SECONDS = 12 * 60 * 60;

export interface KnownTimeOptions {
  /** Asks a time server once; without a time when none answers. Not inside this call. */
  askServer(done: (unixMs?: number) => void): void;
  setClock(unixMs: number): void;
  clock: Clock;
  preferences: Preferences;
  log: Log;
}

export class KnownTime {
  readonly #options: KnownTimeOptions;
  #keptSeconds: number;
  #isConfirmed = false;
  #hasWarned = false;

  constructor(options: KnownTimeOptions) {
    this.#options = options;
    this.#keptSeconds = readKept(options.preferences);
  }

  /** Sets the clock, also where no server answers and something is known; `done` with whether a server did. */
  ask(done: (isAnswered: boolean) => void): void {
    const { askServer, setClock, clock, log } = this.#options;
    askServer((unixMs) => {
      const keptMs = this.#keptSeconds * 1000;
      if (unixMs !== undefined) {
        if (unixMs < keptMs)
          this.#warn(
            `the time server says ${textOf(unixMs)}, but this device was online at ${textOf(keptMs)}: the later counts`,
          );
        setClock(Math.max(unixMs, keptMs));
        if (this.#isConfirmed) this.#keep();
      } else if (clock.unixMs() === undefined && keptMs > 0) {
        setClock(keptMs);
        log.write("warn", `clock: going on from when this device was online last, ${textOf(keptMs)}`);
      }
      done(unixMs !== undefined);
    });
  }

  /** The relay's certificate is good at the time that the clock has. */
  confirm(): void {
    this.#isConfirmed = true;
    this.#keep();
  }

  #keep(): void {
    const { clock, preferences } = this.#options;
    const seconds = Math.floor((clock.unixMs() ?? 0) / 1000);
    if (seconds < this.#keptSeconds + KEEP_SECONDS) return;
    this.#keptSeconds = seconds;
    const bytes = new Uint8Array(BYTES);
    new DataView(bytes.buffer).setUint32(0, seconds);
    try {
      preferences.set(KEY, bytes);
    } catch {
      // It is known until the next start all the same.
    }
  }

  #warn(text: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#options.log.write("warn", `clock: ${text}`);
  }
}

function readKept(preferences: Preferences): number {
  try {
    const bytes = preferences.get(KEY);
    return bytes?.length === BYTES ? new DataView(bytes.buffer, bytes.byteOffset, BYTES).getUint32(0) : 0;
  } catch {
    return 0;
  }
}

function textOf(unixMs: number): string {
  return `${new Date(unixMs).toISOString().slice(0, 16)}Z`;
}
