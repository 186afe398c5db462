// SPDX-License-Identifier: MIT
/**
 * Putting an entry at the end of a log, or where the log begins anew. An append changes no directory entry and no sector
 * that holds anything acknowledged; a skip gives up what was before only when its own entry is durable.
 * firmware/DESIGN.md "Logs", "Skipping in a log".
 *
 * Every call in the log's own turn. What they throw, Refusal or StorageError, is in place of `done`, which comes when the
 * entry is durable, with the head that it is.
 * RAM: one record, one open file for each log that is written to.
 */
import {
  LOG_RECORDS_OFFSET,
  LOG_SEGMENT_BYTES,
  SECTOR_BYTES,
  logSegment,
  logSkip,
} from "../protocol/card-format";
import { CARD_VERSION, MAX_ENTRY_BYTES, MAX_SKIP_SEQUENCE } from "../protocol/limits";
import { entryHash } from "../protocol/log-chain";
import { isEqual } from "../protocol/session";
import { FailureCode } from "../protocol/verbs";
import type { LogHead } from "../protocol/verbs";
import { attempt } from "./attempt";
import { removeFile } from "./blob-removal";
import { writeSector } from "./card-sector";
import { makeRoom } from "./eviction";
import { StorageError } from "./io";
import type { StorageFile } from "./io";
import type { LogReader } from "./log-reader";
import { headOf } from "./log-recovery";
import type { LogState } from "./log-recovery";
import { encodeRecord, recordBytes, segmentPath } from "./log-segment";
import type { LogTrimmer } from "./log-trimmer";
import { Refusal } from "./refusal";
import { requireWritable } from "./store-parts";
import type { StoreParts } from "./store-parts";

export type Appended = (error: unknown, head?: LogHead) => void;

interface NewEntry {
  readonly sequence: number;
  readonly previous: Uint8Array;
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
  /** The log begins anew with it. */
  readonly isSkip: boolean;
}

interface Place {
  readonly segment: number;
  readonly tag: Uint8Array;
  readonly offset: number;
}

/** The record of a segment that has no other: without it the segment was never confirmed. */
export const FIRST_RECORD = { from: LOG_RECORDS_OFFSET, end: LOG_RECORDS_OFFSET + SECTOR_BYTES };

export class LogWriter {
  readonly #parts: StoreParts;
  readonly #trimmer: LogTrimmer;
  /** The store's. */
  readonly #readers: Set<LogReader>;

  constructor(parts: StoreParts, trimmer: LogTrimmer, readers: Set<LogReader>) {
    this.#parts = parts;
    this.#trimmer = trimmer;
    this.#readers = readers;
  }

  append(state: LogState, previous: Uint8Array, bytes: Uint8Array, done: Appended): void {
    const hash = this.check(state, previous, bytes);
    if (state.count > 0 && isEqual(hash, state.head)) this.confirm(state, done);
    else if (isEqual(previous, state.head)) {
      this.add(state, { sequence: state.count, previous, hash, bytes, isSkip: false }, done);
    } else throw conflict();
  }

  skip(state: LogState, first: number, previous: Uint8Array, bytes: Uint8Array, done: Appended): void {
    const hash = this.check(state, previous, bytes);
    if (first > MAX_SKIP_SEQUENCE) {
      throw new Refusal(FailureCode.badRequest, `no log goes on at entry ${String(first)}`);
    }
    const entry = { sequence: first, previous, hash, bytes };
    if (state.count === first + 1 && isEqual(hash, state.head)) this.confirm(state, done);
    else if (state.count < first) this.begin(state, { ...entry, isSkip: true }, done);
    else if (state.count === first && isEqual(previous, state.head)) {
      this.add(state, { ...entry, isSkip: false }, done);
    } else throw conflict();
  }

  /** The hash of the entry, when the log and the card take any. */
  private check(state: LogState, previous: Uint8Array, bytes: Uint8Array): Uint8Array {
    headOf(state);
    requireWritable(this.#parts);
    if (bytes.length > MAX_ENTRY_BYTES) {
      throw new Refusal(FailureCode.tooLarge, `an entry has at most ${String(MAX_ENTRY_BYTES)} bytes`);
    }
    return entryHash(this.#parts.crypto, previous, bytes);
  }

  /** The very last entry again: durable for certain, also when the process that wrote it was killed before its flush. */
  private confirm(state: LogState, done: Appended): void {
    const file = this.#parts.storage.openFile(segmentPath(state.log, state.segment), "update");
    file.flush((error) => {
      file.close();
      if (error) done(error);
      else done(undefined, headOf(state));
    });
  }

  private add(state: LogState, entry: NewEntry, done: Appended): void {
    const { segment, tag, offset } = state;
    if (segment < 0 || offset + recordBytes(entry.bytes.length) > LOG_SEGMENT_BYTES) {
      this.begin(state, entry, done);
      return;
    }
    const write = (error?: unknown): void => {
      if (error) {
        done(error);
        return;
      }
      let file: StorageFile;
      try {
        file = this.#parts.storage.openFile(segmentPath(state.log, segment), "update");
      } catch (failure) {
        done(failure);
        return;
      }
      this.write(file, state, { segment, tag, offset }, entry, done);
    };
    // One that failed may have its record on the card all the same, and the next boot would believe it.
    if (state.doubtful === "next") this.removeNext(state, write);
    else write();
  }

  /** The entry in a segment of its own, above all others. */
  private begin(state: LogState, entry: NewEntry, done: Appended): void {
    const extend = (error?: unknown): void => {
      if (error) done(error);
      else {
        this.extend(state, entry, false, (failure, file, tag) => {
          if (!file || !tag) done(failure);
          else {
            const place = { segment: state.segment + 1, tag, offset: LOG_RECORDS_OFFSET };
            this.write(file, state, place, entry, done);
          }
        });
      }
    };
    // The boot looks for given up segments below the last one only.
    this.#trimmer.clear(state, (error) => {
      if (error || state.doubtful !== "tail") extend(error);
      else this.clearTail(state, extend);
    });
  }

  /** A record behind the last that never counted: a reader would take it for the first of the next segment. */
  private clearTail(state: LogState, done: (error?: unknown) => void): void {
    let file: StorageFile | undefined;
    const finish = (error?: unknown): void => {
      file?.close();
      if (!error) state.doubtful = "nothing";
      done(error);
    };
    attempt(() => {
      const opened = this.#parts.storage.openFile(segmentPath(state.log, state.segment), "update");
      file = opened;
      opened.write(new Uint8Array(SECTOR_BYTES), state.offset);
      opened.flush(finish);
    }, finish);
  }

  private write(file: StorageFile, state: LogState, place: Place, entry: NewEntry, done: Appended): void {
    if (place.segment === state.segment) state.doubtful = "tail";
    try {
      file.write(encodeRecord(place.tag, entry.sequence, entry.hash, entry.bytes), place.offset);
    } catch (error) {
      file.close();
      done(error);
      return;
    }
    file.flush((error) => {
      file.close();
      if (error) {
        done(error);
        return;
      }
      state.count = entry.sequence + 1;
      state.head = entry.hash;
      state.segment = place.segment;
      state.tag = place.tag;
      state.offset = place.offset + recordBytes(entry.bytes.length);
      state.doubtful = "nothing";
      if (entry.isSkip) this.giveUp(state);
      done(undefined, headOf(state));
    });
  }

  /** What is below the last segment is not the log's any more; it goes while the log goes on. */
  private giveUp(state: LogState): void {
    state.firstSegment = state.segment;
    for (const reader of this.#readers) reader.giveUp(state.log);
    this.#trimmer.clearSoon(state);
  }

  /** The next segment: room, header, flush. One that is there already failed before it was the last: it makes way. */
  private extend(
    state: LogState,
    entry: NewEntry,
    isLastTry: boolean,
    done: (error: unknown, file?: StorageFile, tag?: Uint8Array) => void,
  ): void {
    const { storage, entropy } = this.#parts;
    const tag = new Uint8Array(16);
    entropy.fill(tag);
    let file: StorageFile | undefined;
    const retry = (error: unknown): void => {
      const code = error instanceof StorageError ? error.code : undefined;
      if (!file && code !== "exists") {
        done(error);
        return;
      }
      this.removeNext(state, (failure) => {
        if (failure || isLastTry) done(failure ?? error);
        else if (code === "exists") this.extend(state, entry, true, done);
        else if (code === "full") {
          makeRoom(this.#parts, LOG_SEGMENT_BYTES, () => {
            this.extend(state, entry, true, done);
          });
        } else done(error);
      });
    };
    try {
      state.doubtful = "next";
      const created = storage.openFile(segmentPath(state.log, state.segment + 1), "create");
      file = created;
      created.allocate(LOG_SEGMENT_BYTES);
      writeSector(created, 0, entry.isSkip ? logSkip : logSegment, {
        version: CARD_VERSION,
        log: state.log,
        segment: tag,
        firstSequence: entry.sequence,
        previous: entry.previous,
      });
      created.flush((error) => {
        if (error) {
          created.close();
          retry(error);
        } else done(undefined, created, tag);
      });
    } catch (error) {
      file?.close();
      retry(error);
    }
  }

  /** Its record first: while its header is whole and its record is not, it is one that was never confirmed. */
  private removeNext(state: LogState, done: (error?: unknown) => void): void {
    removeFile(this.#parts, segmentPath(state.log, state.segment + 1), FIRST_RECORD, (error) => {
      if (!error) state.doubtful = "nothing";
      done(error);
    });
  }
}

function conflict(): Refusal {
  return new Refusal(
    FailureCode.logConflict,
    "the log has another last entry: read on from it and append again",
  );
}
