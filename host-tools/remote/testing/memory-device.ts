// SPDX-License-Identifier: MIT
/**
 * A device in memory that speaks the protocol as SPEC.md has it, for tests of the client: small, honest, and with a
 * handle for every failure that a real one can have. The real firmware is tested against the client elsewhere.
 */

import { createHash, randomBytes } from "node:crypto";
import { DeviceSession, pairingsOf } from "../../../firmware/core/session";
import { NO_ENTRY, entryHash } from "../../../firmware/protocol/log-chain";
import { decode } from "../../../firmware/protocol/message";
import {
  BULK_HEADER_BYTES,
  PayloadKind,
  readBulkHeader,
  writeBulkHeader,
} from "../../../firmware/protocol/session";
import {
  ANSWER_BIT,
  FAILURE,
  FailureCode,
  PUT_READY,
  decodeControl,
  encodeControl,
  failure,
  putReady,
  verbs,
} from "../../../firmware/protocol/verbs";
import type { TroubleEntry } from "../../../firmware/protocol/trouble";
import type { DeviceHealth, LogLine, Verb } from "../../../firmware/protocol/verbs";
import { nodeCrypto } from "../node-crypto";

export interface Partial {
  sizeBytes: number;
  chunks: Buffer[];
  receivedBytes: number;
}

interface StoredLog {
  entries: Uint8Array[];
  head: Uint8Array;
  /** Sequence of the first of `entries`, where a client let the log begin anew; 0 when it is not there. */
  start?: number;
  /** Those below were trimmed; `start` when it is not there. */
  first?: number;
}

export class MemoryStore {
  readonly name: string;
  readonly blobs = new Map<string, Buffer>();
  readonly partials = new Map<string, Partial>();
  readonly logs = new Map<string, StoredLog>();
  /** Entries forgotten at most for one request to trim. */
  trimmedAtOnce = Infinity;
  readonly secret = randomBytes(32);
  maxRequests = 4;
  /** Takes bytes and forgets them, so that a bench measures the client. */
  isSink = false;
  /** What it says of itself, two lines a page. */
  lines: LogLine[] = [];
  start = 1;
  health: DeviceHealth = {
    isSafe: false,
    cause: 0,
    failedStarts: 0,
    exceptions: 0,
    watchdogs: 0,
    exceptionStart: 0,
    exception: "",
    freeBytes: 0,
    leastFreeBytes: 0,
  };
  troubles: TroubleEntry[] = [];
  /** Asked before each request. */
  refuse: (verb: string) => { code: number; text: string } | undefined = () => undefined;

  constructor(name = "cam1") {
    this.name = name;
  }
}

type Any = Verb<unknown, unknown>;
const byType = new Map<number, Any>(Object.values(verbs).map((verb) => [verb.type, verb as unknown as Any]));

/** One session on one channel. `send` takes payloads; `close` ends the channel with a reason. */
export class MemoryDevice {
  readonly #store: MemoryStore;
  readonly #send: (payload: Uint8Array) => void;
  readonly #session: DeviceSession;
  readonly #uploads = new Map<number, { id: string; partial: Partial }>();
  maxPayloadBytes = 4096;

  constructor(store: MemoryStore, send: (payload: Uint8Array) => void) {
    this.#store = store;
    this.#send = send;
    this.#session = new DeviceSession({
      crypto: nodeCrypto,
      entropy: {
        fill: (into) => {
          into.set(randomBytes(into.length));
        },
      },
      name: store.name,
      pairings: pairingsOf(nodeCrypto, [store.secret]),
      maxRequests: store.maxRequests,
    });
  }

  /** Throws DataError for what ends the channel. */
  take(payload: Buffer): void {
    if (payload[0] === PayloadKind.handshake) {
      const answer = this.#session.handshake(payload);
      if (answer) this.#send(answer);
    } else if (payload[0] === PayloadKind.bulk) {
      this.#takeBulk(payload);
    } else {
      const { type, request, body } = decodeControl(this.#session.open(payload));
      const verb = byType.get(type);
      if (!verb) throw new Error(`verb ${String(type)}`);
      const refused = this.#store.refuse(verb.name);
      if (refused) this.#fail(request, refused.code, refused.text);
      else this.#run(verb.name as keyof typeof verbs, request, decode(verb.request, body));
    }
  }

  #answer<Q, A>(verb: Verb<Q, A>, request: number, answer: A): void {
    this.#send(this.#session.seal(encodeControl(verb.type | ANSWER_BIT, request, verb.answer, answer)));
  }

  #fail(request: number, code: number, text = ""): void {
    this.#send(this.#session.seal(encodeControl(FAILURE, request, failure, { code, text })));
  }

  #run(name: keyof typeof verbs, request: number, value: unknown): void {
    const store = this.#store;
    switch (name) {
      case "status":
        this.#answer(verbs.status, request, statusOf(store));
        return;
      case "health":
        this.#answer(verbs.health, request, store.health);
        return;
      case "troubles":
        this.#answer(verbs.troubles, request, { troubles: store.troubles });
        return;
      case "deviceLog": {
        const { from } = value as { from: number };
        const { start, lines } = store;
        const found = lines.filter(({ sequence }) => sequence >= from);
        const page = { start, uptimeMs: 1000, unixMs: 0, more: found.length > 2, lines: found.slice(0, 2) };
        this.#answer(verbs.deviceLog, request, page);
        return;
      }
      case "has": {
        const { ids } = value as { ids: Uint8Array[] };
        const bits = new Uint8Array(Math.ceil(ids.length / 8));
        ids.forEach((id, i) => {
          if (store.blobs.has(hex(id))) bits[i >> 3] = (bits[i >> 3] ?? 0) | (0x80 >> (i & 7));
        });
        this.#answer(verbs.has, request, { bits });
        return;
      }
      case "put":
        this.#put(request, value as { id: Uint8Array; sizeBytes: number });
        return;
      case "get": {
        const { id, offsetBytes, lengthBytes } = value as {
          id: Uint8Array;
          offsetBytes: number;
          lengthBytes: number;
        };
        const blob = store.blobs.get(hex(id));
        if (!blob) {
          this.#fail(request, FailureCode.notFound);
          return;
        }
        const bytes = blob.subarray(offsetBytes, offsetBytes + lengthBytes);
        this.#sendBulk(request, bytes);
        this.#answer(verbs.get, request, { sentBytes: bytes.length, sizeBytes: blob.length });
        return;
      }
      case "list": {
        const { after, limit } = value as { after: Uint8Array; limit: number };
        const ids = [...store.blobs.keys()].filter((id) => id > hex(after)).sort();
        const page = ids.slice(0, limit);
        const blobs = page.map((id) => ({
          id: Buffer.from(id, "hex"),
          sizeBytes: store.blobs.get(id)?.length ?? 0,
        }));
        this.#answer(verbs.list, request, { more: ids.length > page.length, blobs });
        return;
      }
      case "delete": {
        const { ids } = value as { ids: Uint8Array[] };
        const deleted = ids.filter(
          (id) => store.blobs.delete(hex(id)) || store.partials.delete(hex(id)),
        ).length;
        this.#answer(verbs.delete, request, { deleted });
        return;
      }
      default:
        this.#runLog(name, request, value);
    }
  }

  #runLog(name: string, request: number, value: unknown): void {
    const { logs } = this.#store;
    if (name === "logList") {
      const { after } = value as { after: Uint8Array };
      const found = [...logs].filter(([id]) => id > hex(after)).sort();
      const page = found
        .slice(0, 2)
        .map(([id, stored]) => ({ log: Buffer.from(id, "hex"), count: countOf(stored), head: stored.head }));
      this.#answer(verbs.logList, request, { more: found.length > page.length, logs: page });
      return;
    }
    const { log } = value as { log: Uint8Array };
    const found: StoredLog = logs.get(hex(log)) ?? { entries: [], head: NO_ENTRY };
    const { start = 0 } = found;
    const headOf = (): { count: number; head: Uint8Array } => ({ count: countOf(found), head: found.head });
    if (name === "logHead") {
      this.#answer(verbs.logHead, request, headOf());
    } else if (name === "logAppend") {
      const { previous, entry } = value as { previous: Uint8Array; entry: Uint8Array };
      const hash = entryHash(nodeCrypto, previous, entry);
      const isRepeated = hex(hash) === hex(found.head);
      if (!isRepeated && hex(previous) !== hex(found.head)) {
        this.#fail(request, FailureCode.logConflict);
        return;
      }
      if (!isRepeated) {
        found.entries.push(entry);
        found.head = hash;
        logs.set(hex(log), found);
      }
      this.#answer(verbs.logAppend, request, headOf());
    } else if (name === "logSkip") {
      const { first, previous, entry } = value as { first: number; previous: Uint8Array; entry: Uint8Array };
      const hash = entryHash(nodeCrypto, previous, entry);
      const count = countOf(found);
      const isRepeated = count === first + 1 && hex(hash) === hex(found.head);
      if (!isRepeated && (count > first || (count === first && hex(previous) !== hex(found.head)))) {
        this.#fail(request, FailureCode.logConflict);
        return;
      }
      if (count === first) found.entries.push(entry);
      else if (!isRepeated) Object.assign(found, { entries: [entry], start: first, first });
      found.head = hash;
      logs.set(hex(log), found);
      this.#answer(verbs.logSkip, request, headOf());
    } else if (name === "logTrim") {
      const { before, head } = value as { before: number; head: Uint8Array };
      const { first = start, entries } = found;
      const count = countOf(found);
      if (entries.length === 0) this.#fail(request, FailureCode.notFound);
      else if (hex(head) !== hex(found.head)) this.#fail(request, FailureCode.logConflict);
      else if (before > count) this.#fail(request, FailureCode.badRequest);
      else {
        found.first = Math.max(first, Math.min(before, count - 1, first + this.#store.trimmedAtOnce));
        this.#answer(verbs.logTrim, request, { first: found.first });
      }
    } else {
      const { from, limitBytes } = value as { from: number; limitBytes: number };
      if (from < (found.first ?? start)) {
        this.#fail(request, FailureCode.notFound, "trimmed");
        return;
      }
      const pieces: Buffer[] = [];
      let bytes = 0;
      let entries = 0;
      for (const entry of found.entries.slice(from - start)) {
        bytes += 2 + entry.length;
        if (entries > 0 && bytes > limitBytes) break;
        entries++;
        pieces.push(Buffer.from([entry.length >> 8, entry.length & 0xff]), Buffer.from(entry));
      }
      this.#sendBulk(request, Buffer.concat(pieces));
      this.#answer(verbs.logRead, request, { ...headOf(), entries });
    }
  }

  #put(request: number, { id, sizeBytes }: { id: Uint8Array; sizeBytes: number }): void {
    const { blobs, partials } = this.#store;
    const key = hex(id);
    if (blobs.has(key)) {
      this.#answer(verbs.put, request, { wasStored: true });
      return;
    }
    const partial = partials.get(key) ?? { sizeBytes, chunks: [], receivedBytes: 0 };
    partials.set(key, partial);
    this.#uploads.set(request, { id: key, partial });
    this.#send(
      this.#session.seal(encodeControl(PUT_READY, request, putReady, { offsetBytes: partial.receivedBytes })),
    );
    this.#finish(request);
  }

  #takeBulk(payload: Buffer): void {
    const { request, offsetBytes } = readBulkHeader(payload);
    const upload = this.#uploads.get(request);
    if (!upload) return;
    const { partial } = upload;
    if (offsetBytes !== partial.receivedBytes) throw new Error("bulk out of order");
    const bytes = payload.subarray(BULK_HEADER_BYTES);
    partial.receivedBytes += bytes.length;
    if (!this.#store.isSink) partial.chunks.push(Buffer.from(bytes));
    this.#finish(request);
  }

  #finish(request: number): void {
    const upload = this.#uploads.get(request);
    if (!upload || upload.partial.receivedBytes < upload.partial.sizeBytes) return;
    const { id, partial } = upload;
    this.#uploads.delete(request);
    this.#store.partials.delete(id);
    const blob = Buffer.concat(partial.chunks);
    if (!this.#store.isSink && createHash("sha256").update(blob).digest("hex") !== id) {
      this.#fail(request, FailureCode.hashMismatch);
      return;
    }
    this.#store.blobs.set(id, blob);
    this.#answer(verbs.put, request, { wasStored: false });
  }

  #sendBulk(request: number, bytes: Buffer): void {
    const most = this.maxPayloadBytes - BULK_HEADER_BYTES;
    for (let at = 0; at < bytes.length; at += most) {
      const piece = bytes.subarray(at, at + most);
      const payload = Buffer.allocUnsafe(BULK_HEADER_BYTES + piece.length);
      writeBulkHeader(payload, 0, { request, offsetBytes: at });
      payload.set(piece, BULK_HEADER_BYTES);
      this.#send(payload);
    }
  }
}

function countOf({ entries, start = 0 }: StoredLog): number {
  return start + entries.length;
}

function statusOf(store: MemoryStore): Parameters<typeof verbs.status.answer.size>[0] {
  return {
    device: store.name,
    firmware: "test",
    host: "memory",
    uptimeSeconds: 1,
    unixMs: 0,
    card: 0,
    capacityBytes: 1e9,
    freeBytes: 5e8,
    heapUsedBytes: 0,
    heapPeakBytes: 0,
    heapLimitBytes: 0,
    bootCount: store.start,
    resetReason: 0,
    channels: 1,
    maxChannels: 4,
    maxRequests: store.maxRequests,
    uploads: store.partials.size,
    logs: store.logs.size,
    preferredBlobBytes: 4 << 20,
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
