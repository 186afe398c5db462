// SPDX-License-Identifier: MIT
/**
 * What the device says of itself, kept for whoever asks (SPEC.md "deviceLog"), and passed on to the platform's log. The
 * newest lines in one buffer of a fixed size: nothing grows, nothing is allocated while it is kept, the oldest lines go
 * first. A line that comes again and again - a relay that is down - is kept once, with a count: else an hour of them
 * would push out why the device started.
 *
 *   u8 text bytes, u8 level, u16 repeats, 6 bytes uptime, 6 bytes Unix time, text
 */
import { MAX_LINE_BYTES } from "../protocol/limits";
import { encodeUtf8, decodeUtf8 } from "../protocol/utf8";
import { LineLevel } from "../protocol/verbs";
import type { LogLine } from "../protocol/verbs";
import type { Clock, Log, LogLevel } from "./io";
import { logText } from "./log-text";

const HEADER_BYTES = 16;
const REPEATS_AT = 2;
const UPTIME_AT = 4;
const UNIX_AT = 10;
const MAX_REPEATS = 0xffff;

/** The least that holds a page of the longest lines, so that a follower sees at least those. */
export const LEAST_LOG_BYTES = 4 * (HEADER_BYTES + MAX_LINE_BYTES);

export interface DeviceLogOptions {
  clock: Clock;
  /** The platform's: a console, a file, nothing. */
  log: Log;
  /** Of the buffer, at least LEAST_LOG_BYTES. */
  keptBytes: number;
}

export class DeviceLog implements Log {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #bytes: Uint8Array;
  #usedBytes = 0;
  /** Where the newest line begins; undefined while there is none. */
  #newestAt: number | undefined;
  /** The first sequence that the oldest line took. */
  #firstSequence = 0;

  constructor(options: DeviceLogOptions) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#bytes = new Uint8Array(options.keptBytes);
  }

  write(level: LogLevel, message: string): void {
    try {
      const text = logText(message);
      this.keep(LineLevel[level], encodeUtf8(text));
      this.#log.write(level, text);
    } catch {
      // A log stops nothing.
    }
  }

  /** At most `limit` lines with a sequence of at least `from`. */
  read(from: number, limit: number): { more: boolean; lines: LogLine[] } {
    const lines: LogLine[] = [];
    let next = this.#firstSequence;
    for (let at = 0; at < this.#usedBytes; at += this.sizeAt(at)) {
      const repeats = this.numberAt(at + REPEATS_AT, 2);
      const sequence = next + repeats;
      next = sequence + 1;
      if (sequence < from) continue;
      if (lines.length === limit) return { more: true, lines };
      lines.push({
        sequence,
        repeats,
        uptimeMs: this.numberAt(at + UPTIME_AT, 6),
        unixMs: this.numberAt(at + UNIX_AT, 6),
        level: this.numberAt(at + 1, 1),
        text: decodeUtf8(this.#bytes.subarray(at + HEADER_BYTES, at + this.sizeAt(at))),
      });
    }
    return { more: false, lines };
  }

  private keep(level: number, text: Uint8Array): void {
    const uptimeMs = Math.floor(this.#clock.monotonicMs());
    const unixMs = Math.floor(this.#clock.unixMs() ?? 0);
    let at = this.#newestAt;
    let repeats = 0;
    if (at !== undefined && this.isSame(at, level, text)) {
      repeats = this.numberAt(at + REPEATS_AT, 2) + 1;
    } else {
      this.makeRoom(HEADER_BYTES + text.length);
      at = this.#usedBytes;
      this.#usedBytes += HEADER_BYTES + text.length;
      this.#newestAt = at;
      this.#bytes[at] = text.length;
      this.#bytes[at + 1] = level;
      this.#bytes.set(text, at + HEADER_BYTES);
    }
    this.setNumber(at + REPEATS_AT, 2, repeats);
    this.setNumber(at + UPTIME_AT, 6, uptimeMs);
    this.setNumber(at + UNIX_AT, 6, unixMs);
  }

  private isSame(at: number, level: number, text: Uint8Array): boolean {
    if (this.sizeAt(at) !== HEADER_BYTES + text.length || this.#bytes[at + 1] !== level) return false;
    if (this.numberAt(at + REPEATS_AT, 2) === MAX_REPEATS) return false;
    for (let i = 0; i < text.length; i++) if (this.#bytes[at + HEADER_BYTES + i] !== text[i]) return false;
    return true;
  }

  /** Drops the oldest lines; what stays moves to the front. */
  private makeRoom(wantedBytes: number): void {
    let end = 0;
    while (this.#usedBytes - end + wantedBytes > this.#bytes.length) {
      this.#firstSequence += 1 + this.numberAt(end + REPEATS_AT, 2);
      end += this.sizeAt(end);
    }
    this.#bytes.copyWithin(0, end, this.#usedBytes);
    this.#usedBytes -= end;
  }

  private sizeAt(at: number): number {
    return HEADER_BYTES + (this.#bytes[at] ?? 0);
  }

  private numberAt(at: number, count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) value = value * 256 + (this.#bytes[at + i] ?? 0);
    return value;
  }

  private setNumber(at: number, count: number, value: number): void {
    for (let i = count - 1; i >= 0; i--) {
      this.#bytes[at + i] = value % 256;
      value = Math.floor(value / 256);
    }
  }
}
