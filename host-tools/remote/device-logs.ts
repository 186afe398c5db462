// SPDX-License-Identifier: MIT
/** The logs of one device: read, appended and checked against what was seen before. SPEC.md "Logs". */

import { DataError } from "../../firmware/protocol/data-error";
import { HASH_BYTES, MAX_ENTRY_BYTES, MAX_SKIP_SEQUENCE } from "../../firmware/protocol/limits";
import { NO_ENTRY, entryHash } from "../../firmware/protocol/log-chain";
import { FailureCode, verbs } from "../../firmware/protocol/verbs";
import type { LogHead } from "../../firmware/protocol/verbs";
import { Refusal } from "../refusal";
import { ByteSink } from "./byte-sink";
import {
  DeviceFailure,
  LogConflict,
  LogTrimmed,
  failureRefusal,
  requireHash,
  wrongAnswer,
} from "./device-failure";
import { LogMemory, isSame, parseEntries, readChain, tampered } from "./log-reader";
import type { LogPage } from "./log-reader";
import { nodeCrypto } from "./node-crypto";
import type { SessionPool } from "./session-pool";

const PAGE_BYTES = 256 * 1024;
/** More logs than any device lists. */
const MAX_LISTED = 65_536;

export class DeviceLogs {
  readonly #device: string;
  readonly #pool: SessionPool;
  readonly #memory: LogMemory;

  constructor(device: string, pool: SessionPool) {
    this.#device = device;
    this.#pool = pool;
    this.#memory = new LogMemory(device);
  }

  async head(log: Uint8Array): Promise<LogHead> {
    requireHash(log);
    const before = this.#memory.get(log);
    const head = await this.#pool.ask((session) => session.request(verbs.logHead, { log }));
    this.#memory.note(log, head, before);
    return head;
  }

  /**
   * Appends when `previous` is the hash of the last entry (32 zero bytes: there is none), else throws LogConflict.
   * Appended once, however often the connection was lost meanwhile.
   */
  async append(log: Uint8Array, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    const hash = hashOf(log, previous, entry);
    const before = this.#memory.get(log);
    let tries = 0;
    let head: LogHead;
    try {
      head = await this.#pool.run((session) => {
        tries++;
        return session.request(verbs.logAppend, { log, previous, entry });
      });
    } catch (error) {
      if (!(error instanceof DeviceFailure)) throw error;
      if (error.code !== FailureCode.logConflict) throw failureRefusal(error);
      // An earlier try may have succeeded unheard, and another writer gone on from there.
      const position = tries > 1 ? await this.#find(log, previous, hash) : undefined;
      if (position !== undefined) return { count: position, head: hash };
      throw new LogConflict(`the log on ${this.#device} has another last entry`, { cause: error });
    }
    if (!isSame(head.head, hash) || head.count === 0)
      throw tampered(this.#device, "it acknowledges another entry than was appended");
    this.#memory.note(log, head, before);
    return head;
  }

  /**
   * The entries from sequence `from` to the head, verified against it. `previous` is the hash of the entry before
   * `from`: without it (and unless this client has seen that very head) the log is read from its beginning.
   * Refusal "logTampered" when the log went back, forked or does not fit its head; LogTrimmed when the device has
   * forgotten the first of these entries.
   */
  async read(log: Uint8Array, from: number, previous?: Uint8Array): Promise<LogPage> {
    requireHash(log);
    if (!Number.isSafeInteger(from) || from < 0)
      throw new RangeError(`from: expected a sequence number, got ${String(from)}`);
    if (previous) requireHash(previous);
    const known = this.#memory.get(log);
    const before = from === 0 ? NO_ENTRY : (previous ?? (known?.count === from ? known.head : undefined));
    const start = before ? from : 0;
    for (let tries = 0; ; tries++) {
      try {
        const whole = await readChain(this.#device, start, before ?? NO_ENTRY, (at) =>
          this.#readPage(log, at),
        );
        if (whole.count < from)
          throw tampered(
            this.#device,
            `it has ${String(whole.count)} entries, and ${String(from)} were seen`,
          );
        this.#memory.note(log, whole, known);
        return { count: whole.count, head: whole.head, entries: whole.entries.slice(from - start) };
      } catch (error) {
        // The bulk of the entries is not authenticated by itself: once, it may have been the way here.
        if (!(error instanceof Refusal && error.kind === "logTampered") || tries > 0) throw error;
      }
    }
  }

  /** All logs of the device, ascending. */
  async list(): Promise<(LogHead & { log: Uint8Array })[]> {
    const found: (LogHead & { log: Uint8Array })[] = [];
    for (;;) {
      const after = found.at(-1)?.log ?? new Uint8Array(HASH_BYTES);
      const { more, logs } = await this.#pool.ask((session) => session.request(verbs.logList, { after }));
      for (const log of logs) {
        if (Buffer.compare(log.log, found.at(-1)?.log ?? new Uint8Array(HASH_BYTES)) <= 0)
          throw wrongAnswer(this.#device, "logs out of order");
        found.push(log);
      }
      if (!more) return found;
      if (logs.length === 0 || found.length > MAX_LISTED)
        throw wrongAnswer(this.#device, "a list of logs that does not end");
    }
  }

  /**
   * Lets the device forget the entries below `before`, segment by segment; returns the sequence of the first entry that
   * it has left (`before` 0 only asks). `head` is the hash of the log's last entry, else LogConflict. May be repeated.
   */
  async trim(log: Uint8Array, before: number, head: Uint8Array): Promise<number> {
    requireHash(log);
    requireHash(head);
    if (!Number.isSafeInteger(before) || before < 0)
      throw new RangeError(`before: expected a sequence number, got ${String(before)}`);
    // A device removes a bounded number of segments at once: it is asked until it gets no further.
    for (let known = -1; ;) {
      const { first } = await this.#trimOnce(log, before, head);
      if (first <= known || first >= before) return first;
      known = first;
    }
  }

  async #trimOnce(log: Uint8Array, before: number, head: Uint8Array): Promise<{ first: number }> {
    try {
      return await this.#pool.run((session) => session.request(verbs.logTrim, { log, before, head }));
    } catch (error) {
      if (!(error instanceof DeviceFailure)) throw error;
      if (error.code === FailureCode.logConflict)
        throw new LogConflict(`the log on ${this.#device} has another last entry`, { cause: error });
      if (error.code === FailureCode.notFound)
        throw new Refusal("missingBlob", `${this.#device} does not have this log`, {
          hint: "There is nothing to trim: it was never written there, or the card is another one.",
          cause: error,
        });
      throw failureRefusal(error);
    }
  }

  /**
   * Lets the log begin anew with this entry, as the one of sequence `first` after one with the hash `previous`; what the
   * device has of the log before is given up. LogConflict when it has more than `first` entries, or just as many and
   * another last one. Done once, however often the connection was lost meanwhile.
   */
  async skip(log: Uint8Array, first: number, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    if (!Number.isSafeInteger(first) || first < 0 || first > MAX_SKIP_SEQUENCE)
      throw new RangeError(`first: expected 0..${String(MAX_SKIP_SEQUENCE)}, got ${String(first)}`);
    const hash = hashOf(log, previous, entry);
    const before = this.#memory.get(log);
    let tries = 0;
    let head: LogHead;
    try {
      head = await this.#pool.run((session) => {
        tries++;
        return session.request(verbs.logSkip, { log, first, previous, entry });
      });
    } catch (error) {
      if (!(error instanceof DeviceFailure)) throw error;
      if (error.code !== FailureCode.logConflict) throw failureRefusal(error);
      // As for an append: an earlier try may have succeeded unheard, and another writer gone on from there.
      if (tries > 1 && (await this.#isAt(log, first, previous, hash)))
        return { count: first + 1, head: hash };
      throw new LogConflict(`the log on ${this.#device} has other entries, or more of them`, {
        cause: error,
      });
    }
    if (!isSame(head.head, hash) || head.count !== first + 1)
      throw tampered(this.#device, "it acknowledges another entry than was sent");
    this.#memory.note(log, head, before);
    return head;
  }

  async #readPage(log: Uint8Array, from: number): Promise<LogPage> {
    try {
      return await this.#askPage(log, from);
    } catch (error) {
      if (error instanceof DeviceFailure && error.code === FailureCode.notFound)
        throw new LogTrimmed(this.#device, { cause: error });
      throw error instanceof DeviceFailure ? failureRefusal(error) : error;
    }
  }

  #askPage(log: Uint8Array, from: number): Promise<LogPage> {
    return this.#pool.run(async (session) => {
      const sink = new ByteSink(PAGE_BYTES);
      const request = { log, from, limitBytes: PAGE_BYTES };
      const { count, head, entries } = await session.request(verbs.logRead, request, {
        sink: sink.startAttempt(),
      });
      try {
        return { count, head, entries: parseEntries(sink.bytes, entries) };
      } catch (error) {
        throw error instanceof DataError ? wrongAnswer(this.#device, error.message, error) : error;
      }
    });
  }

  /** Whether the log has the entry with `hash`, behind `previous`, as the one of sequence `first`. */
  async #isAt(log: Uint8Array, first: number, previous: Uint8Array, hash: Uint8Array): Promise<boolean> {
    try {
      // Verified from `previous` to the head: it does not lead there when other entries are there.
      const { entries } = await this.read(log, first, previous);
      return entries[0] !== undefined && isSame(entryHash(nodeCrypto, previous, entries[0]), hash);
    } catch (error) {
      if (error instanceof LogTrimmed || (error instanceof Refusal && error.kind === "logTampered"))
        return false;
      throw error;
    }
  }

  /** How many entries the log had when the one with `hash`, appended after `previous`, was its last. */
  async #find(log: Uint8Array, previous: Uint8Array, hash: Uint8Array): Promise<number | undefined> {
    const known = this.#memory.get(log);
    const isKnown = known !== undefined && isSame(known.head, previous);
    const from = isKnown ? known.count : 0;
    let at = isKnown ? previous : NO_ENTRY;
    let entries: Uint8Array[];
    try {
      ({ entries } = await this.read(log, from, at));
    } catch (error) {
      // Nobody can tell from what is left: a conflict like any other, and its reader will find the entry.
      if (error instanceof LogTrimmed) return undefined;
      throw error;
    }
    for (const [i, entry] of entries.entries()) {
      at = entryHash(nodeCrypto, at, entry);
      if (isSame(at, hash)) return from + i + 1;
    }
    return undefined;
  }
}

/** The hash of the entry; RangeError for what no device takes. */
function hashOf(log: Uint8Array, previous: Uint8Array, entry: Uint8Array): Uint8Array {
  requireHash(log);
  requireHash(previous);
  if (entry.length > MAX_ENTRY_BYTES)
    throw new RangeError(`entry: expected 0..${String(MAX_ENTRY_BYTES)} bytes, got ${String(entry.length)}`);
  return entryHash(nodeCrypto, previous, entry);
}
