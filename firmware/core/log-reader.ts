// SPDX-License-Identifier: MIT
/**
 * Entries of a log as a stream: for each u16 length and its bytes. Every entry is checked against the hash chain; the
 * first that does not read as it was written ends the stream with a refusal that names it.
 *
 * RAM: one entry, one open file.
 */
import { MAX_ENTRY_BYTES } from "../protocol/limits";
import { isEqual } from "../protocol/session";
import { FailureCode } from "../protocol/verbs";
import { StorageError } from "./io";
import type { Crypto, Storage, StorageFile } from "./io";
import type { LogState } from "./log-recovery";
import { findSegment } from "./log-search";
import {
  afterRecord,
  readEntry,
  readRecord,
  readSegmentHeader,
  segmentPath,
  segmentStart,
} from "./log-segment";
import type { SegmentPosition } from "./log-segment";
import { Refusal } from "./refusal";

export interface LogReaderOptions {
  storage: Storage;
  crypto: Crypto;
  state: LogState;
  from: number;
  /** The store's: those that have a segment open. */
  readers: Set<LogReader>;
}

export class LogReader {
  readonly #storage: Storage;
  readonly #crypto: Crypto;
  readonly #log: Uint8Array;
  readonly #lastSegment: number;
  readonly #readers: Set<LogReader>;
  /** Sequence where the log ended when the reader was made. */
  readonly #end: number;
  #file: StorageFile | undefined;
  #segment = -1;
  #isGivenUp = false;
  #tag: Uint8Array = new Uint8Array(0);
  #position: SegmentPosition = { sequence: 0, offset: 0, previous: new Uint8Array(0) };

  /** Finds the entry `from`. Throws Refusal "notFound" (trimmed), "corrupt", or StorageError. */
  constructor(options: LogReaderOptions) {
    const { storage, crypto, state, from, readers } = options;
    this.#storage = storage;
    this.#crypto = crypto;
    this.#log = state.log;
    this.#lastSegment = state.segment;
    this.#end = state.count;
    this.#readers = readers;
    this.#position.sequence = from;
    if (from >= this.#end) return;
    try {
      this.openSegment(findSegment(storage, state, from));
      const first = this.#position.sequence;
      if (first > from) {
        throw new Refusal(
          FailureCode.notFound,
          `the entries below ${String(first)} of this log were trimmed: a client said that it needs them no longer`,
        );
      }
      while (this.#position.sequence < from) this.skip();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Bytes of the next entry in the stream (length included), 0 at the end. Reads nothing of the entry. */
  next(): number {
    if (this.#position.sequence >= this.#end) return 0;
    return 2 + this.record().entryBytes;
  }

  /** Reads the next entry into the start of `into` (2 + MAX_ENTRY_BYTES); returns its bytes in the stream. */
  read(into: Uint8Array): number {
    const found = this.record();
    if (!this.#file || found.entryBytes > MAX_ENTRY_BYTES) throw this.corrupt();
    into[0] = found.entryBytes >> 8;
    into[1] = found.entryBytes & 0xff;
    const entry = into.subarray(2, 2 + found.entryBytes);
    if (!readEntry(this.#file, this.#crypto, this.#position, found, entry)) throw this.corrupt();
    this.#position = afterRecord(this.#position, found);
    return 2 + found.entryBytes;
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#readers.delete(this);
  }

  /** Whether it has this segment open. */
  holds(log: Uint8Array, segment: number): boolean {
    return this.#segment === segment && isEqual(this.#log, log);
  }

  /** The log begins anew behind the entries that it was to read, if it is one of this log. */
  giveUp(log: Uint8Array): void {
    if (!isEqual(this.#log, log)) return;
    this.#isGivenUp = true;
    this.close();
  }

  private skip(): void {
    this.#position = afterRecord(this.#position, this.record());
  }

  /** The record at the position; goes on to the next segment where this one ends. */
  private record(): NonNullable<ReturnType<typeof readRecord>> {
    if (this.#isGivenUp) {
      throw new Refusal(
        FailureCode.notFound,
        "the entries that were being read were given up: a client let the log begin anew behind them",
      );
    }
    if (!this.#file) throw this.corrupt();
    let found = readRecord(this.#file, this.#tag, this.#position);
    if (!found && this.#segment < this.#lastSegment) {
      const { sequence, previous } = this.#position;
      this.openSegment(this.#segment + 1);
      // A segment that does not go on where the one before ended: what is between them is gone.
      if (this.#position.sequence !== sequence || !isEqual(this.#position.previous, previous)) {
        throw this.corrupt(sequence);
      }
      found = readRecord(this.#file, this.#tag, this.#position);
    }
    if (!found) throw this.corrupt();
    return found;
  }

  private openSegment(number: number): void {
    this.close();
    const file = this.open(number);
    this.#file = file;
    this.#segment = number;
    this.#readers.add(this);
    const header = readSegmentHeader(file, this.#log);
    if (!header) throw this.corrupt();
    this.#tag = header.segment;
    this.#position = segmentStart(header);
  }

  private open(number: number): StorageFile {
    try {
      return this.#storage.openFile(segmentPath(this.#log, number), "read");
    } catch (error) {
      if (error instanceof StorageError && error.code === "notFound") throw this.corrupt();
      throw error;
    }
  }

  private corrupt(sequence = this.#position.sequence): Refusal {
    return new Refusal(
      FailureCode.corrupt,
      `entry ${String(sequence)} of this log does not read as it was written`,
    );
  }
}
