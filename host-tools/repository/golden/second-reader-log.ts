// SPDX-License-Identifier: MIT
/**
 * The writers' logs for the second reader: docs/repository.md, "Log entries" and "Revoked writers". What it returns has
 * verified: seal, place, chain, signature, epochs, and that what entries had seen is there. With a checkpoint a log begins
 * where that says, and what is there of older entries has to lead there.
 */

import { createPublicKey, verify } from "node:crypto";
import {
  Cursor,
  Refused,
  asArray,
  asBytes,
  asMap,
  asNumber,
  asText,
  check,
  checkVersion,
  decodeCbor,
  hex,
  hmac,
  isSame,
  join,
  openGcm,
  sha256,
  u64,
} from "./second-reader-bytes";
import type { DeviceContents, Keys } from "./second-reader-keys";

/** How far a log was known: `count` entries, the last with the hash `head`. */
export interface LogPoint {
  readonly writer: string;
  readonly count: number;
  readonly head: Buffer;
}

/** What the order of all entries goes by. */
export interface EntryPlace {
  readonly lamport: number;
  readonly writer: string;
  readonly sequence: number;
}

export interface Entry extends EntryPlace {
  readonly epoch: number;
  readonly hash: Buffer;
  readonly root: Buffer;
  readonly index: Buffer | Buffer[];
  readonly detail: Buffer | readonly unknown[];
  readonly devices: readonly string[];
  readonly revoked: readonly LogPoint[];
  readonly key: Buffer;
}

/** Of a writer that was revoked `count` entries count, the last with the hash `head`. */
export interface LogEnd {
  readonly count: number;
  /** Not told by a checkpoint. */
  readonly head: Buffer | undefined;
}

/** What a checkpoint says of a log: it begins at `count`, behind `head`, and `covered` entries are in the snapshot. */
export interface LogStart {
  readonly count: number;
  readonly head: Buffer;
  readonly covered: number;
  readonly key: Buffer;
  /** So many entries count, when its writer was revoked. */
  readonly limit: number | undefined;
}

export type LogStarts = ReadonlyMap<string, LogStart>;

interface Log {
  readonly writer: string;
  readonly entries: Entry[];
  key: Buffer;
  /** Why the entry behind the last of `entries` does not count. */
  problem?: Refused;
}

export interface VerifiedLogs {
  /** Those that count, in the order of Lamport time, writer id, sequence; of a log in a checkpoint those from `count` on. */
  readonly entries: readonly Entry[];
  /** By writer. */
  readonly keys: ReadonlyMap<string, Buffer>;
  /** Of writers that were revoked. */
  readonly ends: ReadonlyMap<string, LogEnd>;
}

export function readLogs(
  devices: readonly DeviceContents[],
  keys: Keys,
  starts: LogStarts = new Map(),
): VerifiedLogs {
  const logs = findLogs(devices, keys, starts).map((found) => verifyLog(found, keys, starts));
  const all = logs.flatMap((log) => log.entries).sort(compareEntries);
  const ends = revocations(all, starts);
  for (const log of logs) checkEnd(log, ends.get(log.writer), starts.get(log.writer));
  return {
    entries: all.filter((entry) => isCounted(entry, ends)),
    keys: new Map(logs.map(({ writer, key }) => [writer, key])),
    ends,
  };
}

/** Refuses a log that ends too early, or elsewhere. */
function checkEnd({ writer, entries, problem }: Log, end?: LogEnd, start?: LogStart): void {
  const count = (start?.count ?? 0) + entries.length;
  if (problem !== undefined && (end === undefined || count < end.count)) throw problem;
  if (count < (start?.covered ?? 0)) throw new Refused("missing", `log ${writer} lacks entry ${count}`);
  const head = end && hashBehind(end.count, entries, start);
  check(
    head === undefined || (head !== "missing" && isSame(head, end?.head ?? head)),
    `the revoked log ${writer} has another end`,
  );
}

/** The hash of the last of `count` entries; undefined where a checkpoint stands for them. */
function hashBehind(
  count: number,
  entries: readonly Entry[],
  start?: LogStart,
): Buffer | "missing" | undefined {
  if (count === start?.count) return start.head;
  if (count < (start?.count ?? 1)) return undefined;
  return entries.find(({ sequence }) => sequence === count - 1)?.hash ?? "missing";
}

/** Refuses logs that are shorter than `points` say, or lead elsewhere. */
export function checkSeen(points: readonly LogPoint[], logs: VerifiedLogs, starts: LogStarts): void {
  for (const { writer, count, head } of points) {
    if (count > (logs.ends.get(writer)?.count ?? Infinity)) continue;
    const entries = logs.entries.filter((entry) => entry.writer === writer);
    const hash = hashBehind(count, entries, starts.get(writer));
    if (hash === "missing") throw new Refused("missing", `entry ${count - 1} of log ${writer} is hidden`);
    check(hash === undefined || isSame(hash, head), `log ${writer} was forked before entry ${count}`);
  }
}

export function parsePoints(value: unknown): LogPoint[] {
  return asArray(value).map((point) => {
    const [writer, count, head] = asArray(point);
    return { writer: hex(asBytes(writer, 16)), count: asNumber(count), head: asBytes(head, 32) };
  });
}

export function compareEntries(a: EntryPlace, b: EntryPlace): number {
  return (
    a.lamport - b.lamport || (a.writer < b.writer ? -1 : a.writer > b.writer ? 1 : a.sequence - b.sequence)
  );
}

function isCounted(entry: Entry, ends: ReadonlyMap<string, LogEnd>): boolean {
  return entry.sequence < (ends.get(entry.writer)?.count ?? Infinity);
}

function revocations(ordered: readonly Entry[], starts: LogStarts): Map<string, LogEnd> {
  const ends = new Map<string, LogEnd>();
  for (const [writer, { limit }] of starts)
    if (limit !== undefined) ends.set(writer, { count: limit, head: undefined });
  for (const entry of ordered) {
    for (const end of isCounted(entry, ends) ? entry.revoked : []) {
      if (end.count < (ends.get(end.writer)?.count ?? Infinity)) ends.set(end.writer, end);
    }
  }
  return ends;
}

interface FoundLog {
  readonly writer: string;
  /** By sequence. */
  readonly entries: ReadonlyMap<number, Buffer>;
}

/** What all devices together have of each log of the repository; where several have an entry it has to be the same. */
function findLogs(devices: readonly DeviceContents[], keys: Keys, starts: LogStarts): FoundLog[] {
  const found = new Map([...starts.keys()].map((writer) => [writer, new Map<number, Buffer>()]));
  for (const [id, { first, entries }] of devices.flatMap((device) => [...device.logs])) {
    const writer = id.slice(0, 32);
    const tail = hmac(keys.key("log id", 0), Buffer.from(writer, "hex")).subarray(0, 16);
    if (hex(tail) !== id.slice(32)) continue;
    const known = found.get(writer) ?? new Map<number, Buffer>();
    entries.forEach((entry, at) => {
      const other = known.get(first + at) ?? entry;
      check(entry.equals(other), `devices disagree about log ${writer}`);
      known.set(first + at, entry);
    });
    found.set(writer, known);
  }
  return [...found].map(([writer, entries]) => ({ writer, entries }));
}

/** From its beginning, where that is there, also when a checkpoint stands for it: then it has to lead to what that says. */
function verifyLog({ writer, entries }: FoundLog, keys: Keys, starts: LogStarts): Log {
  const start = starts.get(writer);
  if (start === undefined || !entries.has(0)) return verifyFrom(writer, entries, keys, start);
  const log = verifyFrom(writer, entries, keys);
  const [older, newer] = [log.entries.slice(0, start.count), log.entries.slice(start.count)];
  const isWhole = older.length === start.count;
  if (!isWhole) return verifyFrom(writer, entries, keys, start);
  const head = older.at(-1)?.hash ?? Buffer.alloc(32);
  check(
    isSame(head, start.head) && isSame(log.key, start.key),
    `a checkpoint says something else of log ${writer} than its entries`,
  );
  return { ...log, entries: newer };
}

function verifyFrom(writer: string, sealed: ReadonlyMap<number, Buffer>, keys: Keys, start?: LogStart): Log {
  const log: Log = { writer, entries: [], key: start?.key ?? Buffer.alloc(0) };
  const last = Math.max(-1, ...sealed.keys());
  try {
    for (let sequence = start?.count ?? 0; sequence <= last; sequence++) {
      const bytes = sealed.get(sequence);
      if (bytes === undefined) throw new Refused("missing", `entry ${sequence} of log ${writer} is missing`);
      const previous = log.entries.at(-1)?.hash ?? start?.head ?? Buffer.alloc(32);
      const entry = openEntry(
        bytes,
        { writer, sequence, previous, key: sequence > 0 ? log.key : undefined },
        keys,
      );
      const before = log.entries.at(-1)?.epoch ?? 0;
      check(entry.epoch >= before, `log ${writer} goes back to epoch ${entry.epoch}`);
      log.entries.push(entry);
      log.key = entry.key;
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    log.problem = error;
  }
  return log;
}

function openEntry(
  bytes: Buffer,
  {
    writer,
    sequence,
    previous,
    key,
  }: { writer: string; sequence: number; previous: Buffer; key: Buffer | undefined },
  keys: Keys,
): Entry {
  const what = `entry ${sequence} of log ${writer}`;
  const place = join(
    "coffer entry 1",
    keys.repositoryId,
    Buffer.from(writer, "hex"),
    u64(sequence),
    previous,
  );
  const { epoch, fields, checkSigned } = openSigned(bytes, place, keys, what);
  const ownKey = key ?? asBytes(fields["key"], 32);
  checkSigned(ownKey);
  return { ...parseBody(fields), key: ownKey, writer, sequence, epoch, hash: sha256(previous, bytes) };
}

/** Opens what is sealed as an entry is, under the key that its place gives. */
export function openSigned(
  bytes: Buffer,
  place: Buffer,
  keys: Keys,
  what: string,
): {
  epoch: number;
  fields: Readonly<Record<string, unknown>>;
  checkSigned: (key: Buffer) => void;
} {
  const cursor = new Cursor(bytes, what);
  checkVersion(cursor.u8(), 1, what);
  const [epoch, salt] = [cursor.u16(), cursor.take(16)];
  const opened = openGcm(hmac(keys.key("entry", epoch), place, salt), place, cursor.rest());
  check(opened !== undefined, `${what} does not open in its place`);

  const plain = new Cursor(opened, what);
  const body = plain.take(plain.u16());
  const signature = plain.take(64);
  plain.end();
  const fields = asMap(decodeCbor(body));
  checkVersion(fields["v"], 1, what);
  return {
    epoch,
    fields,
    checkSigned: (key) => {
      check(isSignedBy(key, join(place, body), signature), `${what} is not signed by its writer`);
    },
  };
}

function parseBody(
  fields: Readonly<Record<string, unknown>>,
): Omit<Entry, "writer" | "sequence" | "epoch" | "hash" | "key"> {
  const { lamport, root, index, detail, devices, revoked } = fields;
  return {
    lamport: asNumber(lamport),
    root: asBytes(root),
    index: index instanceof Uint8Array ? asBytes(index) : asArray(index).map((id) => asBytes(id, 32)),
    detail: detail instanceof Uint8Array ? asBytes(detail) : asArray(detail),
    devices: devices === undefined ? [] : asArray(devices).map(asText),
    revoked: revoked === undefined ? [] : parsePoints(revoked),
  };
}

function isSignedBy(key: Buffer, message: Buffer, signature: Buffer): boolean {
  const jwk = { kty: "OKP", crv: "Ed25519", x: key.toString("base64url") };
  return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
}
