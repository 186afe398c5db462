// SPDX-License-Identifier: MIT
/**
 * Forgetting the beginning of a log: whole segments, the lowest first, each gone for good before the next is touched.
 * Never the last one, so that count and head stay. firmware/DESIGN.md "Trimming a log".
 *
 * RAM: one small object while a log is trimmed; one log at a time, the others wait.
 */
import { LOG_SEGMENT_BYTES } from "../protocol/card-format";
import type { LogTrim } from "../protocol/card-format";
import { isEqual } from "../protocol/session";
import { FailureCode } from "../protocol/verbs";
import { attempt } from "./attempt";
import { removeDoubtful, removeFile } from "./blob-removal";
import type { LogReader } from "./log-reader";
import { headOf } from "./log-recovery";
import type { LogState } from "./log-recovery";
import { findSegment, firstSequence } from "./log-search";
import { segmentPath } from "./log-segment";
import { Refusal, messageOf } from "./refusal";
import { SerialQueue } from "./serial-queue";
import { requireWritable } from "./store-parts";
import type { StoreParts } from "./store-parts";

/** Three flushes and 64 KiB each: about a second on a card, in which appends to this log wait. A client asks again for more. */
const MOST_AT_ONCE = 16;

/** With the sequence of the first entry that is left. */
export type Trimmed = (error: unknown, first?: number) => void;

export class LogTrimmer {
  readonly #parts: StoreParts;
  /** The store's: a segment that one of them has open stays, and with it all above. */
  readonly #readers: Set<LogReader>;
  /** One at a time: there is one sector for the intent. */
  readonly #removals = new SerialQueue();

  constructor(parts: StoreParts, readers: Set<LogReader>) {
    this.#parts = parts;
    this.#readers = readers;
  }

  /** In the log's own turn. What it throws, Refusal or StorageError, is in place of `done`. */
  trim(state: LogState, before: number, head: Uint8Array, done: Trimmed): void {
    if (!isEqual(head, headOf(state).head)) {
      throw new Refusal(FailureCode.logConflict, "the log has another last entry: read on from it first");
    }
    if (before > state.count) {
      throw new Refusal(FailureCode.badRequest, `the log has ${String(state.count)} entries`);
    }
    const { storage, timers } = this.#parts;
    const end = findSegment(storage, state, before);
    if (end === state.firstSegment) {
      timers.set(0, () => {
        this.answer(state, done);
      });
      return;
    }
    requireWritable(this.#parts);
    this.#removals.run((next) => {
      this.removeBelow(state, Math.min(end, state.firstSegment + MOST_AT_ONCE), (error) => {
        next();
        if (error) done(error);
        else this.answer(state, done);
      });
    });
  }

  /** At boot, before any room is given out: a removal that was begun is brought to its end. */
  finish(done: (error?: unknown) => void): void {
    const { trim } = this.#parts.table;
    if (trim) this.remove(trim, done, removeDoubtful);
    else done();
  }

  /**
   * Removes the segments that were given up; between two of them other logs have their turn. What failed is tried again by
   * the next call, and by the next boot.
   */
  clear(state: LogState, done: (error?: unknown) => void): void {
    if (state.lowestSegment >= state.firstSegment) {
      done();
      return;
    }
    this.#removals.run((next) => {
      this.removeBelow(state, Math.min(state.lowestSegment + 1, state.firstSegment), (error) => {
        next();
        if (error) done(error);
        else this.clear(state, done);
      });
    });
  }

  /** At boot: what others were given up for is durable for certain, also when a killed process left it to the host. */
  confirm(state: LogState, done: (error?: unknown) => void): void {
    attempt(() => {
      const file = this.#parts.storage.openFile(segmentPath(state.log, state.segment), "update");
      file.flush((error) => {
        file.close();
        done(error);
      });
    }, done);
  }

  /** As `clear`, with nobody waiting for it. */
  clearSoon(state: LogState): void {
    this.clear(state, (error) => {
      if (error) {
        this.#parts.log.write(
          "warn",
          `store: given up entries of a log could not be removed yet: ${messageOf(error)}`,
        );
      }
    });
  }

  private removeBelow(state: LogState, end: number, done: (error?: unknown) => void): void {
    const { trim } = this.#parts.table;
    const again = (error: unknown): void => {
      if (error) done(error);
      else this.removeBelow(state, end, done);
    };
    // An earlier removal failed half-way: it comes first, because the intent is what the next boot finds it by.
    if (trim) this.remove(trim, again);
    else if (state.lowestSegment < end && !this.isRead(state)) {
      const segment = state.lowestSegment;
      // From here on it is not to be relied on, whatever becomes of the removal.
      state.firstSegment = Math.max(state.firstSegment, segment + 1);
      this.remove({ log: state.log, segment }, (error) => {
        if (!error) state.lowestSegment = segment + 1;
        again(error);
      });
    } else this.#parts.timers.set(0, done);
  }

  /**
   * Intent, flush; all of it to zeros, flush; removal, flush. A record that was left in a free cluster could make a new
   * segment that was never confirmed look like one whose header has gone bad.
   */
  private remove(trim: LogTrim, done: (error?: unknown) => void, removal = removeFile): void {
    const { table } = this.#parts;
    attempt(() => {
      table.claimTrim(trim, (error) => {
        if (error) done(error);
        else {
          removal(this.#parts, segmentPath(trim.log, trim.segment), { end: LOG_SEGMENT_BYTES }, (failure) => {
            if (!failure) table.releaseTrim();
            done(failure);
          });
        }
      });
    }, done);
  }

  private isRead(state: LogState): boolean {
    for (const reader of this.#readers) if (reader.holds(state.log, state.lowestSegment)) return true;
    return false;
  }

  private answer(state: LogState, done: Trimmed): void {
    let first: number | undefined;
    try {
      first = firstSequence(this.#parts.storage, state.log, state.firstSegment);
    } catch (error) {
      done(error);
      return;
    }
    if (first === undefined) {
      done(new Refusal(FailureCode.corrupt, "the first segment of this log does not read as it was written"));
    } else done(undefined, first);
  }
}
