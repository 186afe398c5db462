// SPDX-License-Identifier: MIT
/**
 * An entry of a writer's log: what it says, and the one place where it fits. docs/repository.md "Log entries".
 *
 *   place = "coffer entry 1" | repository | writer | u64 sequence | hash of the previous entry
 */

import type { KeyObject } from "node:crypto";
import { encode } from "cborg";
import { DataError } from "../../firmware/protocol/data-error";
import { HASH_BYTES, MAX_ENTRY_BYTES, MAX_LOGS } from "../../firmware/protocol/limits";
import { MAX_CONTENT_BYTES } from "./content";
import { MAX_DEVICES } from "./pack-format";
import { type RepositoryKeys, WRITER_ID_BYTES } from "./repository-keys";
import { SIGNED_SEAL_BYTES, openSigned, sealSigned } from "./signed-seal";
import { asArray, asBytes, asNumber, asRecord, asText, strictDecode } from "./strict-cbor";

export const ENTRY_VERSION = 1;
export const PUBLIC_KEY_BYTES = 32;
/** What a body may take, so that the sealed entry fits a device's limit. */
export const MAX_BODY_BYTES = MAX_ENTRY_BYTES - SIGNED_SEAL_BYTES;
export const MAX_INDEX_BLOBS = 32;
export const MAX_ROOT_BYTES = 512 + MAX_CONTENT_BYTES;
const MAX_DETAIL_OPERATIONS = 65536;
/** Versions that one operation forgets: 32 KiB; a longer list takes several. */
export const MAX_FORGOTTEN_VERSIONS = 1024;
/** Not with a dash in front, which would make it an option. */
const tagName = /^[A-Za-z0-9._][A-Za-z0-9._-]{0,63}$/;
/** What fits beside the largest root and detail. */
export const MAX_REVOKED = 8;

/**
 * Path parts are bytes. `put` merges the node into what is there, `set` replaces what is there; `node` is an encoded
 * tree entry, and a version the hash of its entry.
 */
export type Operation =
  | { op: "put"; folder: Uint8Array[]; node: Uint8Array }
  | { op: "mkdir"; path: Uint8Array[]; node: Uint8Array }
  | { op: "remove"; path: Uint8Array[] }
  | { op: "move"; from: Uint8Array[]; to: Uint8Array[] }
  | { op: "set"; path: Uint8Array[]; node: Uint8Array }
  | { op: "tag"; name: string; version: Uint8Array }
  | { op: "untag"; name: string }
  | { op: "forget"; versions: Uint8Array[] }
  /** Nobody may rely on these packs any more: they are going to be deleted. */
  | { op: "condemn"; packs: Uint8Array[] }
  /** These packs are gone from every device. */
  | { op: "drop"; packs: Uint8Array[] }
  /** The device has no good copy of these packs any more, whatever earlier entries say. */
  | { op: "lost"; device: string; packs: Uint8Array[] };

/** Packs in one operation; a writer with more makes several. */
export const MAX_OPERATION_PACKS = 4096;

/** The head of another writer's log that the writer of the entry had seen. */
export interface SeenHead {
  writer: Uint8Array;
  count: number;
  head: Uint8Array;
}

export interface EntryDetail {
  operations: Operation[];
  seen: SeenHead[];
}

export interface EntryBody {
  writer: Uint8Array;
  sequence: number;
  previous: Uint8Array;
  lamport: number;
  /** Wall clock of the writer: for people only, nothing depends on it. */
  timeMs: number;
  /** The state that results: an encoded tree entry without a name. */
  root: Uint8Array;
  /** An encoded index (index-blob.ts), or ids of index blobs. */
  index: Uint8Array | Uint8Array[];
  /** Encoded detail, or the content and size of a chunk of kind `detail` that holds it. */
  detail: Uint8Array | { content: Uint8Array; sizeBytes: number };
  /** Devices that had everything that the entry brought, when it was written. */
  devices: string[];
  /** Some of its operations are about packs: who fills the index has to read its detail. */
  hasPackOperations?: boolean;
  /** Writers of whom nothing beyond this counts from here on. In the body, so that all see it who read the log. */
  revoked?: SeenHead[];
  /** In the first entry only: the writer's Ed25519 key, 32 bytes, and what the computer is called. */
  publicKey?: Uint8Array;
  name?: string;
}

/** Whether it may change the tree; the others say something about versions or packs. */
export function isTreeOperation({ op }: Operation): boolean {
  return op === "put" || op === "mkdir" || op === "remove" || op === "move" || op === "set";
}

export function isPackOperation({ op }: Operation): boolean {
  return op === "condemn" || op === "drop" || op === "lost";
}

/** Letters, digits, dot, underscore and, not in front, dash; at most 64. */
export function isTagName(name: string): boolean {
  return tagName.test(name);
}

export function encodeDetail(detail: EntryDetail): Uint8Array {
  return encode({
    v: ENTRY_VERSION,
    ops: detail.operations,
    seen: detail.seen.map((s) => [s.writer, s.count, s.head]),
  });
}

export function decodeDetail(bytes: Uint8Array): EntryDetail {
  const value = asRecord(strictDecode(bytes), "detail");
  requireVersion(value["v"]);
  const operations = asArray(value["ops"], MAX_DETAIL_OPERATIONS, "ops").map(readOperation);
  const seen = readHeads(value["seen"], MAX_LOGS, "seen");
  return { operations, seen };
}

function readHeads(value: unknown, limit: number, what: string): SeenHead[] {
  return asArray(value, limit, what).map((item): SeenHead => {
    const [writer, count, head] = asArray(item, 3, what);
    return {
      writer: asBytes(writer, WRITER_ID_BYTES, WRITER_ID_BYTES, what),
      count: asNumber(count, what),
      head: asBytes(head, HASH_BYTES, HASH_BYTES, what),
    };
  });
}

export function sealEntry(keys: RepositoryKeys, signingKey: KeyObject, body: EntryBody): Uint8Array {
  const detail =
    body.detail instanceof Uint8Array ? body.detail : [body.detail.content, body.detail.sizeBytes];
  const encoded = encode({
    v: ENTRY_VERSION,
    lamport: body.lamport,
    time: body.timeMs,
    root: body.root,
    index: body.index,
    detail,
    devices: body.devices,
    ...(body.hasPackOperations === true ? { packs: true } : {}),
    ...(body.revoked ? { revoked: body.revoked.map((s) => [s.writer, s.count, s.head]) } : {}),
    ...(body.publicKey ? { key: body.publicKey, name: body.name ?? "" } : {}),
  });
  if (encoded.length > MAX_BODY_BYTES)
    throw new RangeError(`entry: ${String(encoded.length)} bytes, at most ${String(MAX_BODY_BYTES)} fit`);
  const place = binding(keys, body.writer, body.sequence, body.previous);
  return sealSigned({ keys, place, signingKey, body: encoded });
}

export interface OpenOptions {
  keys: RepositoryKeys;
  writer: Uint8Array;
  sequence: number;
  previous: Uint8Array;
  /** The key of the writer's first entry; undefined for that entry itself. */
  publicKey: Uint8Array | undefined;
  /** Set for entries that were verified before and are read from this computer's own, authenticated memory. */
  isVerified?: boolean;
}

/** Throws DataError unless `sealed` is the entry of this writer in this place. */
export function openEntry(sealed: Uint8Array, options: OpenOptions): EntryBody {
  const { keys, writer, sequence, previous } = options;
  const place = binding(keys, writer, sequence, previous);
  let body: EntryBody | undefined;
  openSigned({
    keys,
    place,
    sealed,
    what: "entry",
    isVerified: options.isVerified === true,
    publicKeyOf: (encoded) => {
      body = readBody(encoded, { writer, sequence, previous });
      const publicKey = options.publicKey ?? body.publicKey;
      if (!publicKey) throw new DataError("forged", "first entry without the writer's key");
      return publicKey;
    },
  });
  if (!body) throw new Error("an entry that nobody read");
  return body;
}

export function exportPublicKey(key: KeyObject): Uint8Array {
  return Buffer.from(key.export({ format: "jwk" }).x ?? "", "base64url");
}

function readBody(
  encoded: Uint8Array,
  place: Pick<EntryBody, "writer" | "sequence" | "previous">,
): EntryBody {
  const value = asRecord(strictDecode(encoded), "entry");
  requireVersion(value["v"]);
  const { index, detail, key, name, revoked } = value;
  return {
    ...place,
    lamport: asNumber(value["lamport"], "lamport"),
    timeMs: asNumber(value["time"], "time"),
    root: asBytes(value["root"], 1, MAX_ROOT_BYTES, "root"),
    index:
      index instanceof Uint8Array
        ? index
        : asArray(index, MAX_INDEX_BLOBS, "index").map((id) => asBytes(id, HASH_BYTES, HASH_BYTES, "index")),
    detail: detail instanceof Uint8Array ? detail : readDetailReference(detail),
    devices: asArray(value["devices"], MAX_DEVICES, "devices").map((device) => asText(device, "devices")),
    ...(value["packs"] === true ? { hasPackOperations: true } : {}),
    ...(revoked === undefined ? {} : { revoked: readHeads(revoked, MAX_REVOKED, "revoked") }),
    ...(key === undefined
      ? {}
      : { publicKey: asBytes(key, PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES, "key"), name: asText(name, "name") }),
  };
}

export function readDetailReference(value: unknown): { content: Uint8Array; sizeBytes: number } {
  const [content, sizeBytes] = asArray(value, 2, "detail");
  return {
    content: asBytes(content, 1, MAX_CONTENT_BYTES, "detail"),
    sizeBytes: asNumber(sizeBytes, "detail"),
  };
}

function readPacks(record: Record<string, unknown>): Uint8Array[] {
  return asArray(record["packs"], MAX_OPERATION_PACKS, "packs").map((id) =>
    asBytes(id, HASH_BYTES, HASH_BYTES, "packs"),
  );
}

function readOperation(value: unknown): Operation {
  const record = asRecord(value, "operation");
  const path = (name: string): Uint8Array[] =>
    asArray(record[name], 256, name).map((part) => asBytes(part, 1, 255, name));
  const node = (): Uint8Array => asBytes(record["node"], 1, 8192, "node");
  switch (record["op"]) {
    case "put":
      return { op: "put", folder: path("folder"), node: node() };
    case "mkdir":
      return { op: "mkdir", path: path("path"), node: node() };
    case "remove":
      return { op: "remove", path: path("path") };
    case "move":
      return { op: "move", from: path("from"), to: path("to") };
    case "set":
      return { op: "set", path: path("path"), node: node() };
    case "tag":
      return { op: "tag", name: asTagName(record["name"]), version: asVersion(record["version"]) };
    case "untag":
      return { op: "untag", name: asTagName(record["name"]) };
    case "forget":
      return {
        op: "forget",
        versions: asArray(record["versions"], MAX_FORGOTTEN_VERSIONS, "versions").map(asVersion),
      };
    case "condemn":
    case "drop":
      return { op: record["op"], packs: readPacks(record) };
    case "lost":
      return { op: "lost", device: asText(record["device"], "device"), packs: readPacks(record) };
    default:
      throw new DataError("version", "operation that this version does not know");
  }
}

function binding(keys: RepositoryKeys, writer: Uint8Array, sequence: number, previous: Uint8Array): Buffer {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(sequence));
  return Buffer.concat([
    Buffer.from("coffer entry 1", "latin1"),
    keys.repositoryId,
    writer,
    number,
    previous,
  ]);
}

function requireVersion(value: unknown): void {
  if (value !== ENTRY_VERSION) throw new DataError("version", `entry of version ${String(value)}`);
}

function asVersion(value: unknown): Uint8Array {
  return asBytes(value, HASH_BYTES, HASH_BYTES, "version");
}

function asTagName(value: unknown): string {
  if (typeof value !== "string" || !isTagName(value))
    throw new DataError("text", "a name that no tag can have");
  return value;
}
