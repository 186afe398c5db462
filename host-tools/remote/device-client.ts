// SPDX-License-Identifier: MIT
/**
 * One device, over one relay, as the rest of the host tools see it: the verbs as promises. Lost links, relays and
 * devices are connected again within `patienceMs`, and what was under way is repeated: every verb may run twice.
 *
 * What a promise that resolves means: the device itself said so in a frame that only it can have made. Blobs read
 * whole and log entries have been verified; a range of a blob has not, because only the whole has a hash.
 */

import { createHash } from "node:crypto";
import {
  HASH_BYTES,
  MAX_BLOB_BYTES,
  MAX_IDS,
  MAX_LISTED_BLOBS,
  SECRET_BYTES,
} from "../../firmware/protocol/limits";
import { FailureCode, verbs } from "../../firmware/protocol/verbs";
import type { TroubleEntry } from "../../firmware/protocol/trouble";
import type { DeviceHealth, DeviceStatus, LogHead, LogLines } from "../../firmware/protocol/verbs";
import { Refusal } from "../refusal";
import { ByteSink } from "./byte-sink";
import { DeviceFailure, failureRefusal, requireHash, wrongAnswer } from "./device-failure";
import { DeviceLogs } from "./device-logs";
import { readDeviceLog, readHealth, readTroubles } from "./device-self";
import { isSame } from "./log-reader";
import type { LogPage } from "./log-reader";
import type { RelayConnection } from "./relay-connection";
import type { ClientIdentity, RelayAddress, TlsSessionCache } from "./relay-tls";
import type { Session } from "./session";
import { SessionPool } from "./session-pool";
import type { TrafficStats } from "./traffic-stats";

export { LogConflict, LogTrimmed } from "./device-failure";
export type { DeviceStatus, LogHead } from "../../firmware/protocol/verbs";
export type { LogPage } from "./log-reader";
export type { ClientIdentity, RelayAddress } from "./relay-tls";
export type { TrafficStats } from "./traffic-stats";

export interface DeviceClientOptions {
  relay: RelayAddress;
  identity: ClientIdentity;
  /** Name of the device, as in its certificate. */
  device: string;
  pairingSecret: Uint8Array;
  /** An open connection to that relay under that identity: it is used first, and closed with the client. */
  link?: RelayConnection | undefined;
  /** Shared with other clients of that relay and identity. */
  tlsSessions?: TlsSessionCache | undefined;
  /** Channels at most, default 12; opened as they are needed, fewer when the device has no more. */
  channels?: number | undefined;
  /** How long nothing may succeed before giving up, default 30 s; 0: the first trouble ends what is under way. */
  patienceMs?: number | undefined;
  /** How long one step of connecting may take, default 20 s. */
  timeoutMs?: number | undefined;
  /** How long requests may go without any progress before the session counts as lost, default 30 s. */
  stallMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** What happens to the connection, one sentence for a person. */
  onEvent?: ((text: string) => void) | undefined;
}

export interface PutOptions {
  /** So many bytes of the blob have been handed to the network. */
  onSent?: ((bytes: number) => void) | undefined;
}

export interface PutResult {
  /** The device had the whole blob already. */
  wasStored: boolean;
  /** Bytes of the blob that travelled, repeated ones included. */
  sentBytes: number;
  /** Where the device had been interrupted before: nothing before it travelled again. */
  resumedAt: number;
}

export interface StreamOptions {
  offsetBytes?: number | undefined;
  lengthBytes?: number | undefined;
  /** Size of a piece, default 1 MiB; three are under way. */
  pieceBytes?: number | undefined;
}

const PIECE_BYTES = 1024 * 1024;
const PIECES_AHEAD = 3;
/** Batches of one `has` or `delete` under way. */
const BATCHES_AT_ONCE = 16;

export class DeviceClient {
  readonly name: string;
  readonly #pool: SessionPool;
  readonly #logs: DeviceLogs;
  /** Puts of the same blob follow one another. */
  readonly #puts = new Map<string, Promise<PutResult>>();

  private constructor(options: DeviceClientOptions) {
    const { channels = 12, patienceMs = 30_000, timeoutMs = 20_000, stallMs = 30_000 } = options;
    if (options.pairingSecret.length !== SECRET_BYTES) {
      throw new RangeError(
        `pairingSecret: expected ${String(SECRET_BYTES)} bytes, got ${String(options.pairingSecret.length)}`,
      );
    }
    if (!(channels >= 1 && channels <= 64))
      throw new RangeError(`channels: expected 1..64, got ${String(channels)}`);
    this.name = options.device;
    this.#pool = new SessionPool({ ...options, channels, patienceMs, timeoutMs, stallMs });
    this.#logs = new DeviceLogs(options.device, this.#pool);
  }

  /** Resolves when the device has proven itself. Rejects with a Refusal. */
  static async open(options: DeviceClientOptions): Promise<DeviceClient> {
    const client = new DeviceClient(options);
    try {
      await client.#pool.run(() => Promise.resolve());
    } catch (error) {
      await client.close();
      throw error;
    }
    return client;
  }

  get stats(): Readonly<TrafficStats> {
    return this.#pool.stats;
  }

  /** Ends the connection; what is under way is rejected as interrupted. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  async status(): Promise<DeviceStatus> {
    const status = await this.#pool.ask((session) => session.request(verbs.status, {}));
    // A board has four channels, and is not there for one client alone.
    this.#pool.limitChannels(Math.max(1, status.maxChannels >> 1));
    return status;
  }

  /** Undefined when the device's firmware does not know the question. */
  health(): Promise<DeviceHealth | undefined> {
    return readHealth(this.#pool);
  }

  /** What kept the device from its relay; undefined when its firmware does not know the question. */
  troubles(): Promise<TroubleEntry[] | undefined> {
    return readTroubles(this.#pool);
  }

  /** A page of what the device says of itself, from a sequence on. */
  deviceLog(from: number): Promise<LogLines> {
    return readDeviceLog(this.#pool, this.name, from);
  }

  // ---------------------------------------------------------------- blobs

  /** For each id whether the blob is stored whole. Any number of ids. */
  async has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    ids.forEach(requireHash);
    const answers = await this.#inBatches(ids, async (batch) => {
      const { bits } = await this.#pool.ask((session) => session.request(verbs.has, { ids: batch }));
      if (bits.length !== Math.ceil(batch.length / 8))
        throw wrongAnswer(this.name, "bits for another number of blobs");
      return batch.map((_, i) => ((bits[i >> 3] ?? 0) & (0x80 >> (i & 7))) !== 0);
    });
    return answers.flat();
  }

  /**
   * Stores a blob: `parts` one after the other, which must not change until the promise settles. Resolves when the
   * device has it whole, verified and durable. Goes on where an earlier put of the same id stopped.
   */
  async put(id: Uint8Array, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<PutResult> {
    requireHash(id);
    const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (sizeBytes > MAX_BLOB_BYTES)
      throw new RangeError(`put: blob of ${String(sizeBytes)} bytes above ${String(MAX_BLOB_BYTES)}`);
    const key = toHex(id);
    for (let other = this.#puts.get(key); other; other = this.#puts.get(key))
      await other.catch(() => undefined);
    const done = this.#put(id, parts, sizeBytes, options);
    this.#puts.set(key, done);
    try {
      return await done;
    } finally {
      this.#puts.delete(key);
    }
  }

  async #put(
    id: Uint8Array,
    parts: readonly Uint8Array[],
    sizeBytes: number,
    options: PutOptions,
  ): Promise<PutResult> {
    let sentBytes = 0;
    let resumedAt: number | undefined;
    let furthest = 0;
    const attempt = (session: Session): Promise<{ wasStored: boolean }> =>
      session.request(
        verbs.put,
        { id, sizeBytes },
        {
          source: {
            parts,
            sizeBytes,
            onReady: (offsetBytes) => {
              resumedAt ??= offsetBytes;
              if (offsetBytes > furthest) this.#pool.noteProgress();
              furthest = Math.max(furthest, offsetBytes);
            },
            onSent: (bytes) => {
              sentBytes += bytes;
              options.onSent?.(bytes);
            },
          },
        },
      );
    for (let mismatches = 0; ;) {
      try {
        const { wasStored } = await this.#pool.run(attempt, { bulk: "sent" });
        return { wasStored, sentBytes, resumedAt: resumedAt ?? 0 };
      } catch (error) {
        if (!(error instanceof DeviceFailure)) throw error;
        if (error.code !== FailureCode.hashMismatch) throw failureRefusal(error);
        if (!isSame(hashOf(parts), id)) throw new TypeError("put: the bytes do not hash to the id");
        if (++mismatches > 1) throw this.#changedOnTheWay(error);
      }
    }
  }

  /**
   * At most `lengthBytes` of a blob from `offsetBytes`; fewer at its end. A blob read whole has been verified; a
   * range has not, and its reader must. With `into` the answer is a view of it, if it is large enough.
   */
  async get(
    id: Uint8Array,
    offsetBytes: number,
    lengthBytes: number,
    into?: Uint8Array,
  ): Promise<Uint8Array> {
    requireHash(id);
    requireRange(offsetBytes, lengthBytes);
    for (let tries = 0; ; tries++) {
      const { bytes, sizeBytes } = await this.#fetch(id, offsetBytes, lengthBytes, into);
      const isWhole = offsetBytes === 0 && bytes.length === sizeBytes;
      if (!isWhole || isSame(hashOf([bytes]), id)) return bytes;
      if (tries > 0) throw this.#corrupted(id);
    }
  }

  /** Size of a stored blob. */
  async sizeOf(id: Uint8Array): Promise<number> {
    requireHash(id);
    return (await this.#fetch(id, 0, 0)).sizeBytes;
  }

  /**
   * The same in pieces, three ahead of the reader. A blob read whole is verified with its last piece: throws instead
   * of ending when it does not hash to its id, so what was read counts only when the loop has ended by itself.
   */
  async *getStream(id: Uint8Array, options: StreamOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    requireHash(id);
    const { offsetBytes = 0, lengthBytes = MAX_BLOB_BYTES, pieceBytes = PIECE_BYTES } = options;
    requireRange(offsetBytes, lengthBytes);
    const first = await this.#fetch(id, offsetBytes, Math.min(pieceBytes, lengthBytes));
    const end = Math.min(offsetBytes + lengthBytes, first.sizeBytes);
    const hash = offsetBytes === 0 && end === first.sizeBytes ? createHash("sha256") : undefined;
    const ahead: Promise<{ bytes: Uint8Array }>[] = [Promise.resolve(first)];
    let asked = offsetBytes + first.bytes.length;
    try {
      for (let next = ahead.shift(); next; next = ahead.shift()) {
        while (asked < end && ahead.length < PIECES_AHEAD) {
          const piece = this.#fetch(id, asked, Math.min(pieceBytes, end - asked));
          // Seen when its turn comes; a failure before that must not end the process.
          piece.catch(() => undefined);
          ahead.push(piece);
          asked += Math.min(pieceBytes, end - asked);
        }
        const { bytes } = await next;
        hash?.update(bytes);
        if (bytes.length > 0) yield bytes;
      }
    } finally {
      await Promise.allSettled(ahead);
    }
    if (hash && !isSame(hash.digest(), id)) throw this.#corrupted(id);
  }

  /** All stored blobs, ascending by id. */
  async *list(): AsyncGenerator<{ id: Uint8Array; sizeBytes: number }, void, undefined> {
    let after: Uint8Array = new Uint8Array(HASH_BYTES);
    for (;;) {
      const from = after;
      const { more, blobs } = await this.#pool.ask((session) =>
        session.request(verbs.list, { after: from, limit: MAX_LISTED_BLOBS }),
      );
      for (const blob of blobs) {
        // An id of 32 zero bytes cannot be listed: nothing is known to hash to it.
        if (Buffer.compare(blob.id, after) <= 0) throw wrongAnswer(this.name, "a listing out of order");
        after = blob.id;
        yield blob;
      }
      if (!more) return;
      if (blobs.length === 0) throw wrongAnswer(this.name, "a listing that does not go on");
    }
  }

  /** How many were there and are deleted. After a lost connection it may count some as not there that it deleted. */
  async delete(ids: readonly Uint8Array[]): Promise<number> {
    ids.forEach(requireHash);
    const counts = await this.#inBatches(ids, async (batch) => {
      const { deleted } = await this.#pool.ask((session) => session.request(verbs.delete, { ids: batch }));
      return deleted;
    });
    return counts.reduce((sum, count) => sum + count, 0);
  }

  // ---------------------------------------------------------------- logs

  logHead(log: Uint8Array): Promise<LogHead> {
    return this.#logs.head(log);
  }

  /**
   * Appends when `previous` is the hash of the last entry (32 zero bytes: there is none), else throws LogConflict.
   * Appended once, however often the connection was lost meanwhile.
   */
  logAppend(log: Uint8Array, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    return this.#logs.append(log, previous, entry);
  }

  /**
   * The entries from sequence `from` to the head, verified against it. `previous` is the hash of the entry before
   * `from`: without it (and unless this client has seen that very head) the log is read from its beginning.
   * Refusal "logTampered" when the log went back, forked or does not fit its head; LogTrimmed when the device has
   * forgotten the first of these entries.
   */
  logRead(log: Uint8Array, from: number, previous?: Uint8Array): Promise<LogPage> {
    return this.#logs.read(log, from, previous);
  }

  /**
   * Lets the device forget the entries below `before`, segment by segment; returns the sequence of the first entry that
   * it has left (`before` 0 only asks). `head` is the hash of the log's last entry, else LogConflict. May be repeated.
   */
  logTrim(log: Uint8Array, before: number, head: Uint8Array): Promise<number> {
    return this.#logs.trim(log, before, head);
  }

  /**
   * Lets the log begin anew with this entry, as the one of sequence `first` after one with the hash `previous`; what the
   * device has of the log before is given up. LogConflict when it has more than `first` entries, or just as many and
   * another last one. Done once, however often the connection was lost meanwhile.
   */
  logSkip(log: Uint8Array, first: number, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    return this.#logs.skip(log, first, previous, entry);
  }

  /** All logs of the device, ascending. */
  logList(): Promise<(LogHead & { log: Uint8Array })[]> {
    return this.#logs.list();
  }

  // ---------------------------------------------------------------- inside

  /** A range, over as many connections as it takes; what has arrived is not asked for again. */
  async #fetch(
    id: Uint8Array,
    offsetBytes: number,
    lengthBytes: number,
    into?: Uint8Array,
  ): Promise<{ bytes: Uint8Array; sizeBytes: number }> {
    const sink = new ByteSink(lengthBytes, into);
    const sizeBytes = await this.#pool.ask(
      async (session) => {
        const before = sink.receivedBytes;
        const at = offsetBytes + before;
        const wanted = lengthBytes - before;
        const part = sink.startAttempt();
        try {
          const answer = await session.request(
            verbs.get,
            { id, offsetBytes: at, lengthBytes: wanted },
            { sink: part },
          );
          const expected = Math.min(wanted, Math.max(0, answer.sizeBytes - at));
          if (answer.sentBytes !== part.receivedBytes || answer.sentBytes !== expected) {
            throw wrongAnswer(this.name, "another number of bytes than announced");
          }
          return answer.sizeBytes;
        } catch (error) {
          if (error instanceof Refusal && error.kind === "protocolViolation") sink.reset();
          else if (sink.receivedBytes > before) this.#pool.noteProgress();
          throw error;
        }
      },
      { bulk: lengthBytes > PIECE_BYTES ? "received" : undefined },
    );
    return { bytes: sink.bytes, sizeBytes };
  }

  async #inBatches<T>(
    ids: readonly Uint8Array[],
    request: (batch: Uint8Array[]) => Promise<T>,
  ): Promise<T[]> {
    const results: T[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let at = next++; at * MAX_IDS < ids.length; at = next++) {
        results[at] = await request(ids.slice(at * MAX_IDS, (at + 1) * MAX_IDS));
      }
    };
    await Promise.all(
      Array.from({ length: Math.min(BATCHES_AT_ONCE, Math.ceil(ids.length / MAX_IDS)) }, worker),
    );
    return results;
  }

  #changedOnTheWay(cause: DeviceFailure): Refusal {
    return new Refusal(
      "protocolViolation",
      `the bytes of a blob were changed on their way to ${this.name}, twice`,
      {
        hint: "The relay, or something between, tampers with what passes through: use another relay and check this one.",
        cause,
      },
    );
  }

  #corrupted(id: Uint8Array): Refusal {
    return new Refusal(
      "corruptedBlob",
      `blob ${toHex(id).slice(0, 12)} from ${this.name} is not what was stored, twice`,
      {
        hint: "The card has decayed or the relay tampers: fetch it from another device, and push the files again.",
      },
    );
  }
}

function requireRange(offsetBytes: number, lengthBytes: number): void {
  for (const value of [offsetBytes, lengthBytes]) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`range: expected whole numbers, got ${String(value)}`);
  }
}

function hashOf(parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
