// SPDX-License-Identifier: MIT
/**
 * The verbs: control messages between client and device. SPEC.md "Verbs".
 *
 *   u8 type, u16 request, fields
 *
 * The client numbers its requests; a number is free again after its last answer. Every request gets exactly one answer
 * of its own type | 0x80 or a `failure`, except `put`, which may get `putReady` before its `put` answer.
 */
import { DataError } from "./data-error";
import {
  HASH_BYTES,
  LINE_KEY_BYTES,
  MAX_ENTRY_BYTES,
  MAX_IDS,
  MAX_LINE_BYTES,
  MAX_LISTED_BLOBS,
  MAX_LISTED_LINES,
  MAX_LISTED_LOGS,
  MAX_NAME_BYTES,
  MAX_TEXT_BYTES,
  MAX_TROUBLES,
  TICKET_BYTES,
} from "./limits";
import { encode, fixed, flag, list, record, text, u16, u32, u53, u8, variable } from "./message";
import type { Field } from "./message";
import type { TroubleEntry } from "./trouble";

const id = fixed(HASH_BYTES);

/** `worn`: its writes fail, and it can still be read. */
export const CardState = {
  ok: 0,
  none: 1,
  full: 2,
  readOnly: 3,
  failed: 4,
  foreign: 5,
  worn: 6,
  unformatted: 7,
} as const;

export interface DeviceStatus {
  device: string;
  firmware: string;
  /** Which host the firmware runs on: "esp32", "simulator", "xs-board", "node". */
  host: string;
  uptimeSeconds: number;
  /** 0 when the device's clock is not set. */
  unixMs: number;
  /** One of CardState. */
  card: number;
  capacityBytes: number;
  freeBytes: number;
  /** Heap of the JavaScript machine; 0 where the host cannot tell. */
  heapUsedBytes: number;
  heapPeakBytes: number;
  heapLimitBytes: number;
  bootCount: number;
  /** Why it started last: 0 unknown, 1 power on, 2 software, 3 exception, 4 watchdog, 5 brownout. */
  resetReason: number;
  channels: number;
  maxChannels: number;
  maxRequests: number;
  /** Uploads that can be resumed. */
  uploads: number;
  logs: number;
  /** The blob size the device likes best. */
  preferredBlobBytes: number;
}

/** Why a device started; the numbers of `resetReason` and `cause`. */
export const ResetCause = {
  unknown: 0,
  powerOn: 1,
  software: 2,
  exception: 3,
  watchdog: 4,
  brownout: 5,
} as const;

export const LineLevel = { info: 0, warn: 1 } as const;

/** A line of what a device says of itself. */
export interface LogLine {
  /** Counts from 0 at every start. */
  sequence: number;
  /** The same line came so many times before, without another between: they took the sequences before this one. */
  repeats: number;
  uptimeMs: number;
  /** 0 while the clock was not set. */
  unixMs: number;
  /** One of LineLevel. */
  level: number;
  text: string;
}

/** Lines of one start of a device. */
export interface LogLines {
  /** Which start, as `bootCount` of status: another one means that sequences began anew. */
  start: number;
  /** Now, by both clocks, so that lines from before the clock was set can be given a time. */
  uptimeMs: number;
  unixMs: number;
  more: boolean;
  lines: LogLine[];
}

/** What a device knows of its failures: it survives them, and updates. */
export interface DeviceHealth {
  /** It serves status, health and its log only, and has not touched its card. */
  isSafe: boolean;
  /** Of safe mode, one of ResetCause; 0 when it is not. */
  cause: number;
  /** Starts in a row before this one that failed before they were stable. */
  failedStarts: number;
  /** Since the first start. */
  exceptions: number;
  watchdogs: number;
  /** The start that ended with the last exception that could be kept; 0: none. */
  exceptionStart: number;
  exception: string;
  /** Memory outside the heap of the JavaScript machine, now and at the worst moment; 0 where the host cannot tell. */
  freeBytes: number;
  leastFreeBytes: number;
}

export interface Verb<Request, Answer> {
  readonly name: string;
  readonly type: number;
  readonly request: Field<Request>;
  readonly answer: Field<Answer>;
}

function verb<Request, Answer>(
  name: string,
  type: number,
  request: Field<Request>,
  answer: Field<Answer>,
): Verb<Request, Answer> {
  return { name, type, request, answer };
}

const empty = record<object>({});

/** The answer to a read of a log, and of a change to it: how many entries, and the hash of the last. */
export interface LogHead {
  /** Number of entries; the first entry has sequence 0. */
  count: number;
  /** 32 zero bytes when there is none. */
  head: Uint8Array;
}
const logHead = { count: u53, head: id };

export const verbs = {
  status: verb<object, DeviceStatus>(
    "status",
    1,
    empty,
    record<DeviceStatus>({
      device: text(MAX_NAME_BYTES),
      firmware: text(MAX_TEXT_BYTES),
      host: text(MAX_NAME_BYTES),
      uptimeSeconds: u53,
      unixMs: u53,
      card: u8,
      capacityBytes: u53,
      freeBytes: u53,
      heapUsedBytes: u53,
      heapPeakBytes: u53,
      heapLimitBytes: u53,
      bootCount: u32,
      resetReason: u8,
      channels: u16,
      maxChannels: u16,
      maxRequests: u8,
      uploads: u8,
      logs: u16,
      preferredBlobBytes: u53,
    }),
  ),
  /** Has-many: bit i (most significant first) of the answer is 1 when blob i is stored whole. */
  has: verb<{ ids: Uint8Array[] }, { bits: Uint8Array }>(
    "has",
    2,
    record({ ids: list(id, MAX_IDS) }),
    record({ bits: variable(Math.ceil(MAX_IDS / 8)) }),
  ),
  /**
   * Stores a blob. The device answers `put` at once when it has it, else `putReady` with the offset to go on from;
   * the client sends bulk from there to the end; `put` means: on the card, whole, verified, durable.
   */
  put: verb<{ id: Uint8Array; sizeBytes: number }, { wasStored: boolean }>(
    "put",
    3,
    record({ id, sizeBytes: u53 }),
    record({ wasStored: flag }),
  ),
  /**
   * Sends `lengthBytes` from `offsetBytes` (less at the end) as bulk, whose offsets count from 0, then the answer with
   * how many were sent and the blob's size. A length of 0 only asks for the size.
   */
  get: verb<
    { id: Uint8Array; offsetBytes: number; lengthBytes: number },
    { sentBytes: number; sizeBytes: number }
  >("get", 4, record({ id, offsetBytes: u53, lengthBytes: u53 }), record({ sentBytes: u53, sizeBytes: u53 })),
  /** Stored blobs with ids above `after` (32 zero bytes: from the start), ascending. */
  list: verb<
    { after: Uint8Array; limit: number },
    { more: boolean; blobs: { id: Uint8Array; sizeBytes: number }[] }
  >(
    "list",
    5,
    record({ after: id, limit: u16 }),
    record({
      more: flag,
      blobs: list(record<{ id: Uint8Array; sizeBytes: number }>({ id, sizeBytes: u53 }), MAX_LISTED_BLOBS),
    }),
  ),
  /** Deletes blobs and unfinished uploads; those that are not there count as deleted 0. */
  delete: verb<{ ids: Uint8Array[] }, { deleted: number }>(
    "delete",
    6,
    record({ ids: list(id, MAX_IDS) }),
    record({ deleted: u16 }),
  ),
  logHead: verb<{ log: Uint8Array }, LogHead>("logHead", 16, record({ log: id }), record<LogHead>(logHead)),
  /**
   * Appends only when `previous` is the hash of the log's last entry (32 zero bytes: the log has none); else failure
   * `logConflict`. Repeating the very last append answers as the first time did.
   */
  logAppend: verb<{ log: Uint8Array; previous: Uint8Array; entry: Uint8Array }, LogHead>(
    "logAppend",
    17,
    record({ log: id, previous: id, entry: variable(MAX_ENTRY_BYTES) }),
    record<LogHead>(logHead),
  ),
  /**
   * Sends entries from sequence `from` as bulk: for each u16 length and its bytes, until `limitBytes` would be passed
   * (at least one entry when there is one). The answer tells how many entries were sent and the log's head.
   */
  logRead: verb<{ log: Uint8Array; from: number; limitBytes: number }, LogHead & { entries: number }>(
    "logRead",
    18,
    record({ log: id, from: u53, limitBytes: u32 }),
    record<LogHead & { entries: number }>({ ...logHead, entries: u32 }),
  ),
  logList: verb<{ after: Uint8Array }, { more: boolean; logs: (LogHead & { log: Uint8Array })[] }>(
    "logList",
    19,
    record({ after: id }),
    record({
      more: flag,
      logs: list(record<LogHead & { log: Uint8Array }>({ log: id, ...logHead }), MAX_LISTED_LOGS),
    }),
  ),
  /**
   * Entries with a sequence below `before` are not needed any more; `head` has to be the hash of the log's last entry,
   * else failure `logConflict`. Answers with the sequence of the first entry that the device still has.
   */
  logTrim: verb<{ log: Uint8Array; before: number; head: Uint8Array }, { first: number }>(
    "logTrim",
    20,
    record({ log: id, before: u53, head: id }),
    record({ first: u53 }),
  ),
  /**
   * The log goes on with this entry, which has sequence `first` and comes after one whose hash is `previous`; what the
   * device has of the log before is given up. Failure `logConflict` when the device has more than `first` entries, or
   * just as many with another head. Repeating it answers as the first time did.
   */
  logSkip: verb<{ log: Uint8Array; first: number; previous: Uint8Array; entry: Uint8Array }, LogHead>(
    "logSkip",
    21,
    record({ log: id, first: u53, previous: id, entry: variable(MAX_ENTRY_BYTES) }),
    record<LogHead>(logHead),
  ),
  /** What the device says of itself, from a sequence on. Not a log of the card: it is gone with the power. */
  deviceLog: verb<{ from: number }, LogLines>(
    "deviceLog",
    22,
    record({ from: u32 }),
    record<LogLines>({
      start: u32,
      uptimeMs: u53,
      unixMs: u53,
      more: flag,
      lines: list(
        record<LogLine>({
          sequence: u32,
          repeats: u16,
          uptimeMs: u53,
          unixMs: u53,
          level: u8,
          text: text(MAX_LINE_BYTES),
        }),
        MAX_LISTED_LINES,
      ),
    }),
  ),
  health: verb<object, DeviceHealth>(
    "health",
    23,
    empty,
    record<DeviceHealth>({
      isSafe: flag,
      cause: u8,
      failedStarts: u8,
      exceptions: u32,
      watchdogs: u32,
      exceptionStart: u32,
      exception: text(MAX_LINE_BYTES),
      freeBytes: u53,
      leastFreeBytes: u53,
    }),
  ),
  /** What kept the device from its relay. Having been asked, it forgets that of earlier starts with the next one. */
  troubles: verb<object, { troubles: TroubleEntry[] }>(
    "troubles",
    24,
    empty,
    record({
      troubles: list(
        record<TroubleEntry>({ code: u8, wasEarlier: flag, count: u16, lastSeconds: u32 }),
        MAX_TROUBLES,
      ),
    }),
  ),
  /** The device is to come to its end of a line, as the client or the server of TLS with that key. SPEC.md "Lines". */
  line: verb<{ ticket: Uint8Array; key: Uint8Array; isServer: boolean }, object>(
    "line",
    25,
    record({ ticket: fixed(TICKET_BYTES), key: fixed(LINE_KEY_BYTES), isServer: flag }),
    empty,
  ),
} as const;

export const ANSWER_BIT = 0x80;
/** The device is ready for a blob's bytes from `offsetBytes`. */
export const PUT_READY = 0x70;
export const putReady = record<{ offsetBytes: number }>({ offsetBytes: u53 });
export const FAILURE = 0xff;
export interface Failure {
  code: number;
  /** For people: what happened and what can be done. */
  text: string;
}
export const failure = record<Failure>({ code: u16, text: text(MAX_TEXT_BYTES) });

export const FailureCode = {
  badRequest: 1,
  unknownVerb: 2,
  notFound: 3,
  cardFull: 4,
  /** The bytes that arrived are not the ones the id names: something changed them on the way. */
  hashMismatch: 5,
  /** Another client is uploading, reading or deleting this blob. */
  blobBusy: 6,
  tooLarge: 7,
  logConflict: 8,
  cardFailed: 9,
  noCard: 10,
  readOnly: 11,
  locked: 12,
  tooMany: 13,
  /** What is stored does not read as it was written. */
  corrupt: 14,
  /** The device serves what tells about itself only, after several starts that failed. */
  safeMode: 15,
} as const;

export const CONTROL_HEADER_BYTES = 3;

export interface Control {
  type: number;
  request: number;
  /** The fields, still encoded: a view. */
  body: Uint8Array;
}

export function encodeControl<T>(type: number, request: number, field: Field<T>, value: T): Uint8Array {
  const body = encode(field, value);
  const bytes = new Uint8Array(CONTROL_HEADER_BYTES + body.length);
  bytes[0] = type;
  bytes[1] = request >> 8;
  bytes[2] = request & 0xff;
  bytes.set(body, CONTROL_HEADER_BYTES);
  return bytes;
}

export function decodeControl(message: Uint8Array): Control {
  if (message.length < CONTROL_HEADER_BYTES) throw new DataError("short", "control message without a header");
  return {
    type: message[0] ?? 0,
    request: ((message[1] ?? 0) << 8) | (message[2] ?? 0),
    body: message.subarray(CONTROL_HEADER_BYTES),
  };
}
