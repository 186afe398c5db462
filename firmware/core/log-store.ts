// SPDX-License-Identifier: MIT
/**
 * Append-only logs: their table, and the turns in which appends and skips (`log-writer.ts`) and trimming
 * (`log-trimmer.ts`) come, one after the other in each log. firmware/DESIGN.md "Logs".
 *
 * RAM: `maxLogs` heads, 44 slots of the heap each.
 */
import { MAX_LISTED_LOGS } from "../protocol/limits";
import { NO_ENTRY } from "../protocol/log-chain";
import { FailureCode } from "../protocol/verbs";
import type { LogHead } from "../protocol/verbs";
import { attempt } from "./attempt";
import { removeDoubtful } from "./blob-removal";
import { toHex } from "./hex";
import { LogReader } from "./log-reader";
import { findLogs, headOf, newLogState, recoverLog } from "./log-recovery";
import type { LogState } from "./log-recovery";
import { LogTrimmer } from "./log-trimmer";
import type { Trimmed } from "./log-trimmer";
import { FIRST_RECORD, LogWriter } from "./log-writer";
import type { Appended } from "./log-writer";
import { Refusal } from "./refusal";
import { SerialQueue } from "./serial-queue";
import { inSlices } from "./slices";
import type { StoreParts } from "./store-parts";

interface Entry {
  readonly state: LogState;
  readonly queue: SerialQueue;
}

export interface LogPage {
  more: boolean;
  logs: (LogHead & { log: Uint8Array })[];
}

export class LogStore {
  readonly #parts: StoreParts;
  readonly #logs = new Map<string, Entry>();
  readonly #readers = new Set<LogReader>();
  readonly #trimmer: LogTrimmer;
  readonly #writer: LogWriter;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.#trimmer = new LogTrimmer(parts, this.#readers);
    this.#writer = new LogWriter(parts, this.#trimmer, this.#readers);
  }

  get count(): number {
    return this.#logs.size;
  }

  /** Reads the last segment of every log, one a timer turn. Before any room is given out. */
  recover(isWritable: boolean, done: (error?: unknown) => void): void {
    const find = (error?: unknown): void => {
      if (error) done(error);
      else this.findAll(isWritable, done);
    };
    if (isWritable) this.#trimmer.finish(find);
    else find();
  }

  private findAll(isWritable: boolean, done: (error?: unknown) => void): void {
    const { storage, table } = this.#parts;
    const unconfirmed: string[] = [];
    /** Those that have given up segments on the card. */
    const skipped: LogState[] = [];
    let found: LogState[] | undefined;
    let isRemoved = false;
    const step = (): boolean => {
      if (!found) {
        const { states, aliases } = findLogs(this.#parts);
        found = states;
        isRemoved = isWritable && aliases.length > 0;
        if (isWritable) for (const path of aliases) storage.remove(path);
      }
      const state = found.shift();
      if (!state) return false;
      const path = recoverLog(this.#parts, state);
      if (path !== undefined) unconfirmed.push(path);
      if (state.lowestSegment < state.firstSegment) skipped.push(state);
      if (state.segment >= 0) this.#logs.set(toHex(state.log), { state, queue: new SerialQueue() });
      return true;
    };
    let confirmed = 0;
    const finish = (error?: unknown): void => {
      const path = unconfirmed.pop();
      const state = skipped[confirmed];
      if (error || !isWritable) done(error);
      else if (path !== undefined) removeDoubtful(this.#parts, path, FIRST_RECORD, finish);
      else if (state) {
        confirmed++;
        this.#trimmer.confirm(state, finish);
      } else {
        done();
        for (const one of skipped) this.#trimmer.clearSoon(one);
      }
    };
    inSlices(this.#parts.timers, step, (error) => {
      if (error || !isRemoved) finish(error);
      else table.sync(finish);
    });
  }

  /** Throws Refusal "corrupt" for a log whose end cannot be told. */
  head(log: Uint8Array): LogHead {
    const entry = this.#logs.get(toHex(log));
    return entry ? headOf(entry.state) : { count: 0, head: NO_ENTRY };
  }

  /** The logs with ids above `after`, ascending; a damaged one with what is whole of it. */
  list(after: Uint8Array): LogPage {
    const isFromStart = after.every((byte) => byte === 0);
    const cursor = toHex(after);
    const names = [...this.#logs.keys()].filter((name) => isFromStart || name > cursor).sort();
    const logs = names.slice(0, MAX_LISTED_LOGS).flatMap((name) => {
      const state = this.#logs.get(name)?.state;
      return state ? [{ log: state.log, count: state.count, head: state.head }] : [];
    });
    return { more: names.length > MAX_LISTED_LOGS, logs };
  }

  /** Entries from sequence `from` on; throws Refusal "notFound" (trimmed), "corrupt", StorageError. Nothing to read: a reader at its end. */
  open(log: Uint8Array, from: number): LogReader {
    const { storage, crypto } = this.#parts;
    const state = this.#logs.get(toHex(log))?.state;
    return new LogReader({ storage, crypto, state: state ?? newLogState(log), from, readers: this.#readers });
  }

  /**
   * Removes segments that hold only entries below `before`, not the last, nor any that is being read; `done` with the
   * sequence of the first entry that is left, when that is durable; never inside this call. Keeps `head` until then.
   */
  trim(log: Uint8Array, before: number, head: Uint8Array, done: Trimmed): void {
    const found = this.#logs.get(toHex(log));
    if (!found || found.state.segment < 0) {
      throw new Refusal(FailureCode.notFound, "this device does not have this log");
    }
    found.queue.run((next) => {
      const finish: Trimmed = (error, first) => {
        next();
        done(error, first);
      };
      this.#parts.timers.set(0, () => {
        attempt(() => {
          this.#trimmer.trim(found.state, before, head, finish);
        }, finish);
      });
    });
  }

  /** `done` when the entry is durable, with the head that it is; never inside this call. Keeps the arrays until then. */
  append(log: Uint8Array, previous: Uint8Array, entry: Uint8Array, done: Appended): void {
    this.change(log, done, (state, finish) => {
      this.#writer.append(state, previous, entry, finish);
    });
  }

  /** The same for an entry with which the log begins anew: as the one of sequence `first`, after one with hash `previous`. */
  skip(log: Uint8Array, first: number, previous: Uint8Array, entry: Uint8Array, done: Appended): void {
    this.change(log, done, (state, finish) => {
      this.#writer.skip(state, first, previous, entry, finish);
    });
  }

  /** Throws Refusal "tooMany" when there is no room in the table for a log that is not there yet. */
  private change(log: Uint8Array, done: Appended, write: (state: LogState, finish: Appended) => void): void {
    const hexLog = toHex(log);
    let found = this.#logs.get(hexLog);
    if (!found) {
      if (this.#logs.size >= this.#parts.limits.maxLogs)
        throw new Refusal(
          FailureCode.tooMany,
          `this device keeps ${String(this.#parts.limits.maxLogs)} logs`,
        );
      found = { state: newLogState(log.slice()), queue: new SerialQueue() };
      this.#logs.set(hexLog, found);
    }
    const { state, queue } = found;
    queue.run((next) => {
      const finish: Appended = (error, head) => {
        next();
        if (state.segment < 0 && queue.isIdle) this.#logs.delete(hexLog);
        done(error, head);
      };
      this.#parts.timers.set(0, () => {
        attempt(() => {
          write(state, finish);
        }, finish);
      });
    });
  }
}
