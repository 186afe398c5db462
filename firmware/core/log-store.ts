// SPDX-License-Identifier: MIT
/**
 * Append-only logs: an entry is accepted only when it names the hash of the log's last one, and acknowledged only when
 * it is durable. An append changes no directory entry and no sector that holds anything acknowledged.
 * firmware/DESIGN.md "Logs".
 *
 * RAM: `maxLogs` heads, 42 slots of the heap each. One file is open during an append; appends to one log, and trimming it,
 * come one after the other.
 */
import { LOG_RECORDS_OFFSET, LOG_SEGMENT_BYTES, SECTOR_BYTES, logSegment } from "../protocol/card-format";
import { CARD_VERSION, MAX_ENTRY_BYTES, MAX_LISTED_LOGS } from "../protocol/limits";
import { NO_ENTRY, entryHash } from "../protocol/log-chain";
import { isEqual } from "../protocol/session";
import { FailureCode } from "../protocol/verbs";
import type { LogHead } from "../protocol/verbs";
import { attempt } from "./attempt";
import { removeFile } from "./blob-removal";
import { writeSector } from "./card-sector";
import { makeRoom } from "./eviction";
import { toHex } from "./hex";
import { StorageError } from "./io";
import type { StorageFile } from "./io";
import { LogReader } from "./log-reader";
import { findLogs, headOf, newLogState, recoverLog } from "./log-recovery";
import type { LogState } from "./log-recovery";
import { encodeRecord, recordBytes, segmentPath } from "./log-segment";
import { LogTrimmer } from "./log-trimmer";
import type { Trimmed } from "./log-trimmer";
import { Refusal } from "./refusal";
import { SerialQueue } from "./serial-queue";
import { inSlices } from "./slices";
import { requireWritable } from "./store-parts";
import type { StoreParts } from "./store-parts";

interface Entry {
  readonly state: LogState;
  readonly queue: SerialQueue;
}

export interface LogPage {
  more: boolean;
  logs: (LogHead & { log: Uint8Array })[];
}

type Appended = (error: unknown, head?: LogHead) => void;

export class LogStore {
  readonly #parts: StoreParts;
  readonly #logs = new Map<string, Entry>();
  readonly #readers = new Set<LogReader>();
  readonly #trimmer: LogTrimmer;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.#trimmer = new LogTrimmer(parts, this.#readers);
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
    let found: LogState[] | undefined;
    let isRemoved = false;
    const step = (): boolean => {
      if (!found) {
        const { states, aliases } = findLogs(this.#parts);
        found = states;
        isRemoved = isWritable && aliases.length > 0;
        if (isWritable) for (const path of aliases) this.#parts.storage.remove(path);
      }
      const state = found.shift();
      if (!state) return false;
      if (recoverLog(this.#parts, state, isWritable)) isRemoved = true;
      if (state.segment >= 0) this.#logs.set(toHex(state.log), { state, queue: new SerialQueue() });
      return true;
    };
    inSlices(this.#parts.timers, step, (error) => {
      if (error || !isRemoved) done(error);
      else this.#parts.table.sync(done);
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
          this.appendNow(state, previous, entry, finish);
        }, finish);
      });
    });
  }

  private appendNow(state: LogState, previous: Uint8Array, entry: Uint8Array, done: Appended): void {
    headOf(state);
    requireWritable(this.#parts);
    if (entry.length > MAX_ENTRY_BYTES) {
      throw new Refusal(FailureCode.tooLarge, `an entry has at most ${String(MAX_ENTRY_BYTES)} bytes`);
    }
    const hash = entryHash(this.#parts.crypto, previous, entry);
    if (state.count > 0 && isEqual(hash, state.head)) {
      this.confirm(state, done);
      return;
    }
    if (!isEqual(previous, state.head)) {
      throw new Refusal(
        FailureCode.logConflict,
        "the log has another last entry: read on from it and append again",
      );
    }
    if (state.segment >= 0 && state.offset + recordBytes(entry.length) <= LOG_SEGMENT_BYTES) {
      const file = this.#parts.storage.openFile(segmentPath(state.log, state.segment), "update");
      this.write(
        file,
        state,
        { segment: state.segment, tag: state.tag, offset: state.offset },
        hash,
        entry,
        done,
      );
      return;
    }
    this.extend(state, false, (error, file, tag) => {
      if (!file || !tag) done(error);
      else
        this.write(
          file,
          state,
          { segment: state.segment + 1, tag, offset: LOG_RECORDS_OFFSET },
          hash,
          entry,
          done,
        );
    });
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

  private write(
    file: StorageFile,
    state: LogState,
    place: { segment: number; tag: Uint8Array; offset: number },
    hash: Uint8Array,
    entry: Uint8Array,
    done: Appended,
  ): void {
    try {
      file.write(encodeRecord(place.tag, state.count, hash, entry), place.offset);
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
      state.count++;
      state.head = hash;
      state.segment = place.segment;
      state.tag = place.tag;
      state.offset = place.offset + recordBytes(entry.length);
      done(undefined, headOf(state));
    });
  }

  /** The next segment: room, header, flush. One that is there already failed before its first record: it makes way. */
  private extend(
    state: LogState,
    isLastTry: boolean,
    done: (error: unknown, file?: StorageFile, tag?: Uint8Array) => void,
  ): void {
    const { storage, entropy } = this.#parts;
    const path = segmentPath(state.log, state.segment + 1);
    const tag = new Uint8Array(16);
    entropy.fill(tag);
    let file: StorageFile | undefined;
    const retry = (error: unknown): void => {
      const code = error instanceof StorageError ? error.code : undefined;
      if (!file && code !== "exists") {
        done(error);
        return;
      }
      removeFile(this.#parts, path, LOG_RECORDS_OFFSET + SECTOR_BYTES, (failure) => {
        if (failure || isLastTry) done(failure ?? error);
        else if (code === "exists") this.extend(state, true, done);
        else if (code === "full") {
          makeRoom(this.#parts, LOG_SEGMENT_BYTES, () => {
            this.extend(state, true, done);
          });
        } else done(error);
      });
    };
    try {
      const created = storage.openFile(path, "create");
      file = created;
      created.allocate(LOG_SEGMENT_BYTES);
      writeSector(created, 0, logSegment, {
        version: CARD_VERSION,
        log: state.log,
        segment: tag,
        firstSequence: state.count,
        previous: state.head,
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
}
