// SPDX-License-Identifier: MIT
// The writers' logs for the second reader: docs/repository.md, "Log entries" and "Revoked writers". What it returns has
// verified: seal, place, chain, signature, epochs, and that what entries had seen is there.
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

export interface Entry {
  readonly writer: string;
  readonly sequence: number;
  readonly epoch: number;
  readonly hash: Buffer;
  readonly lamport: number;
  readonly root: Buffer;
  readonly index: Buffer | Buffer[];
  readonly detail: Buffer | readonly unknown[];
  readonly devices: readonly string[];
  readonly revoked: readonly LogPoint[];
  readonly key: Buffer | undefined;
}

interface Log {
  readonly writer: string;
  readonly entries: Entry[];
  /** Why the entry behind the last of `entries` does not count. */
  problem?: Refused;
}

/** The entries that count, in the order of Lamport time, writer id, sequence. */
export function readLogs(devices: readonly DeviceContents[], keys: Keys): Entry[] {
  const logs = findLogs(devices, keys).map(({ writer, entries }) => verifyLog(writer, entries, keys));
  const all = logs.flatMap((log) => log.entries).sort(compareEntries);
  const ends = revocations(all);
  for (const { writer, entries, problem } of logs) {
    const end = ends.get(writer);
    if (problem !== undefined && (end === undefined || entries.length < end.count)) throw problem;
    if (end === undefined || end.count === 0) continue;
    const last = entries[end.count - 1];
    check(last !== undefined && isSame(last.hash, end.head), `the revoked log ${writer} has another end`);
  }
  return all.filter((entry) => isCounted(entry, ends));
}

/** Refuses logs that are shorter than `points` say, or lead elsewhere. */
export function checkSeen(points: readonly LogPoint[], entries: readonly Entry[]): void {
  for (const { writer, count, head } of points) {
    if (count === 0) continue;
    const entry = entries.find((one) => one.writer === writer && one.sequence === count - 1);
    const isCut =
      entry === undefined && entries.some((one) => one.revoked.some((end) => end.writer === writer));
    if (isCut) continue;
    if (entry === undefined) throw new Refused("missing", `entry ${count - 1} of log ${writer} is hidden`);
    check(isSame(entry.hash, head), `log ${writer} was forked before entry ${count}`);
  }
}

export function parsePoints(value: unknown): LogPoint[] {
  return asArray(value).map((point) => {
    const [writer, count, head] = asArray(point);
    return { writer: hex(asBytes(writer, 16)), count: asNumber(count), head: asBytes(head, 32) };
  });
}

function compareEntries(a: Entry, b: Entry): number {
  return (
    a.lamport - b.lamport || (a.writer < b.writer ? -1 : a.writer > b.writer ? 1 : a.sequence - b.sequence)
  );
}

function isCounted(entry: Entry, ends: ReadonlyMap<string, LogPoint>): boolean {
  return entry.sequence < (ends.get(entry.writer)?.count ?? Infinity);
}

function revocations(ordered: readonly Entry[]): Map<string, LogPoint> {
  const ends = new Map<string, LogPoint>();
  for (const entry of ordered) {
    for (const end of isCounted(entry, ends) ? entry.revoked : []) {
      if (end.count < (ends.get(end.writer)?.count ?? Infinity)) ends.set(end.writer, end);
    }
  }
  return ends;
}

/** The longest copy of each log of the repository; the other copies have to be its beginnings. */
function findLogs(
  devices: readonly DeviceContents[],
  keys: Keys,
): { writer: string; entries: readonly Buffer[] }[] {
  const longest = new Map<string, readonly Buffer[]>();
  for (const [id, log] of devices.flatMap((device) => [...device.logs])) {
    const writer = id.slice(0, 32);
    const tail = hmac(keys.key("log id", 0), Buffer.from(writer, "hex")).subarray(0, 16);
    if (hex(tail) !== id.slice(32)) continue;
    const known = longest.get(writer) ?? [];
    const [short, long] = log.length < known.length ? [log, known] : [known, log];
    check(
      short.every((entry, at) => entry.equals(long[at] ?? Buffer.alloc(0))),
      `devices disagree about log ${writer}`,
    );
    longest.set(writer, long);
  }
  return [...longest].map(([writer, entries]) => ({ writer, entries }));
}

function verifyLog(writer: string, sealed: readonly Buffer[], keys: Keys): Log {
  const log: Log = { writer, entries: [] };
  try {
    for (const bytes of sealed) log.entries.push(openEntry(bytes, log, keys));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    log.problem = error;
  }
  return log;
}

function openEntry(bytes: Buffer, { writer, entries }: Log, keys: Keys): Entry {
  const what = `entry ${entries.length} of log ${writer}`;
  const before = entries.at(-1);
  const previous = before?.hash ?? Buffer.alloc(32);
  const writerId = Buffer.from(writer, "hex");
  const place = join("coffer entry 1", keys.repositoryId, writerId, u64(entries.length), previous);

  const cursor = new Cursor(bytes, what);
  checkVersion(cursor.u8(), 1, what);
  const [epoch, salt] = [cursor.u16(), cursor.take(16)];
  check(epoch >= (before?.epoch ?? 0), `${what} goes back to epoch ${epoch}`);
  const opened = openGcm(hmac(keys.key("entry", epoch), place, salt), place, cursor.rest());
  check(opened !== undefined, `${what} does not open in its place`);

  const plain = new Cursor(opened, what);
  const body = plain.take(plain.u16());
  const signature = plain.take(64);
  plain.end();
  const fields = asMap(decodeCbor(body));
  checkVersion(fields["v"], 1, what);
  const key = entries[0]?.key ?? asBytes(fields["key"], 32);
  check(isSignedBy(key, join(place, body), signature), `${what} is not signed by its writer`);
  return {
    ...parseBody(fields),
    key,
    writer,
    sequence: entries.length,
    epoch,
    hash: sha256(previous, bytes),
  };
}

function parseBody(
  fields: Readonly<Record<string, unknown>>,
): Omit<Entry, "writer" | "sequence" | "epoch" | "hash"> {
  const { lamport, root, index, detail, devices, revoked, key } = fields;
  return {
    lamport: asNumber(lamport),
    root: asBytes(root),
    index: index instanceof Uint8Array ? asBytes(index) : asArray(index).map((id) => asBytes(id, 32)),
    detail: detail instanceof Uint8Array ? asBytes(detail) : asArray(detail),
    devices: devices === undefined ? [] : asArray(devices).map(asText),
    revoked: revoked === undefined ? [] : parsePoints(revoked),
    key: key === undefined ? undefined : asBytes(key, 32),
  };
}

function isSignedBy(key: Buffer, message: Buffer, signature: Buffer): boolean {
  const jwk = { kty: "OKP", crv: "Ed25519", x: key.toString("base64url") };
  return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
}
