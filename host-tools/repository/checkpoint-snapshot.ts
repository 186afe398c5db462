// SPDX-License-Identifier: MIT
/**
 * What a checkpoint says instead of the entries that it stands for: where each log goes on, the versions that are kept,
 * tags, and what is in which packs. docs/repository.md "Checkpoints".
 *
 * It is cut into parts, each a blob: "CFCP" | u8 version | u16 epoch | sealed part (as an index blob's plaintext)
 */

import { createHash } from "node:crypto";
import { encode } from "cborg";
import { DataError } from "../../firmware/protocol/data-error";
import { HASH_BYTES, MAX_LOGS } from "../../firmware/protocol/limits";
import {
  type EntryBody,
  MAX_ROOT_BYTES,
  PUBLIC_KEY_BYTES,
  isTagName,
  readDetailReference,
} from "./log-entry";
import { INDEX_SEAL_BYTES, MAX_DEVICES, openIndex, sealIndex } from "./pack-format";
import { type RepositoryKeys, WRITER_ID_BYTES } from "./repository-keys";
import { asArray, asBytes, asNumber, asRecord, asText, strictDecode } from "./strict-cbor";
import { MAX_CHECKPOINT_PARTS } from "./checkpoint-record";
import type { LogStart } from "./writer-log";

const VERSION = 1;
const MAGIC = Buffer.from("CFCP", "latin1");
const HEADER_BYTES = 7;
const PART_BYTES = 2 * 1024 * 1024;
export const MAX_PART_BLOB_BYTES = HEADER_BYTES + INDEX_SEAL_BYTES + PART_BYTES;
export const MAX_SNAPSHOT_BYTES = MAX_CHECKPOINT_PARTS * PART_BYTES;
/** Lists in it: no more than fit in the largest snapshot. */
const MAX_ITEMS = MAX_SNAPSHOT_BYTES / HASH_BYTES;

export interface SnapshotLog extends LogStart {
  writer: Uint8Array;
}

/** An entry of a log that the checkpoint stands for, and that is a kept version. */
export interface SnapshotVersion {
  id: Uint8Array;
  body: EntryBody;
}

export interface RepositorySnapshot {
  logs: SnapshotLog[];
  /** In the merged order. */
  versions: SnapshotVersion[];
  tags: { name: string; version: Uint8Array }[];
  /** Versions that are forgotten as soon as no tag names them. */
  held: Uint8Array[];
  /** What the bits of the index blobs' device masks stand for. */
  devices: string[];
  indexBlobs: Uint8Array[];
  /** Packs and other blobs that wait for being deleted, and since when. */
  condemned: { id: Uint8Array; timeMs: number }[];
  lost: { device: string; id: Uint8Array }[];
}

export function encodeSnapshot(snapshot: RepositorySnapshot): Uint8Array {
  const { logs, versions, tags, held, devices, indexBlobs, condemned, lost } = snapshot;
  const numbers = new Map(logs.map(({ writer }, i) => [hex(writer), i]));
  return encode({
    v: VERSION,
    logs: logs.map((log) => [
      log.writer,
      log.count,
      log.head,
      log.covered,
      log.publicKey,
      log.name,
      log.limit ?? null,
    ]),
    versions: versions.map(({ id, body }) => [
      numbers.get(hex(body.writer)) ?? 0,
      body.sequence,
      id,
      body.lamport,
      body.timeMs,
      body.root,
      body.detail instanceof Uint8Array ? body.detail : [body.detail.content, body.detail.sizeBytes],
    ]),
    tags: tags.map(({ name, version }) => [name, version]),
    held,
    devices,
    index: indexBlobs,
    condemned: condemned.map(({ id, timeMs }) => [id, timeMs]),
    lost: lost.map(({ device, id }) => [device, id]),
  });
}

export function decodeSnapshot(bytes: Uint8Array): RepositorySnapshot {
  const value = asRecord(strictDecode(bytes), "checkpoint");
  if (value["v"] !== VERSION) throw new DataError("version", `checkpoint of version ${String(value["v"])}`);
  const logs = asArray(value["logs"], MAX_LOGS, "logs").map(readLog);
  return {
    logs,
    versions: asArray(value["versions"], MAX_ITEMS, "versions").map((item) => readVersion(item, logs)),
    tags: asArray(value["tags"], MAX_ITEMS, "tags").map(readTag),
    held: asArray(value["held"], MAX_ITEMS, "held").map((id) => asHash(id, "held")),
    devices: asArray(value["devices"], MAX_DEVICES, "devices").map((name) => asText(name, "devices")),
    indexBlobs: asArray(value["index"], MAX_ITEMS, "index").map((id) => asHash(id, "index")),
    condemned: asArray(value["condemned"], MAX_ITEMS, "condemned").map((item) => {
      const [id, timeMs] = asArray(item, 2, "condemned");
      return { id: asHash(id, "condemned"), timeMs: asNumber(timeMs, "condemned") };
    }),
    lost: asArray(value["lost"], MAX_ITEMS, "lost").map((item) => {
      const [device, id] = asArray(item, 2, "lost");
      return { device: asText(device, "lost"), id: asHash(id, "lost") };
    }),
  };
}

function readLog(item: unknown): SnapshotLog {
  const [writer, count, head, covered, publicKey, name, limit] = asArray(item, 7, "logs");
  const log = {
    writer: asBytes(writer, WRITER_ID_BYTES, WRITER_ID_BYTES, "logs"),
    count: asNumber(count, "logs"),
    head: asHash(head, "logs"),
    covered: asNumber(covered, "logs"),
    publicKey: asBytes(publicKey, PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES, "logs"),
    name: asText(name, "logs"),
    limit: limit === null ? undefined : asNumber(limit, "logs"),
  };
  if (log.covered < log.count || log.covered > log.count + 1)
    throw new DataError("range", "a checkpoint that does not leave the last entry");
  return log;
}

function readVersion(item: unknown, logs: readonly SnapshotLog[]): SnapshotVersion {
  const [number, sequence, id, lamport, timeMs, root, detail] = asArray(item, 7, "versions");
  const log = logs[asNumber(number, "versions")];
  if (!log) throw new DataError("range", "a version of no log");
  const body: EntryBody = {
    writer: log.writer,
    sequence: asNumber(sequence, "versions"),
    previous: new Uint8Array(HASH_BYTES),
    lamport: asNumber(lamport, "versions"),
    timeMs: asNumber(timeMs, "versions"),
    root: asBytes(root, 1, MAX_ROOT_BYTES, "versions"),
    index: new Uint8Array(0),
    detail: detail instanceof Uint8Array ? detail : readDetailReference(detail),
    devices: [],
  };
  if (body.sequence >= log.covered) throw new DataError("range", "a version that is in its log");
  return { id: asHash(id, "versions"), body };
}

function readTag(item: unknown): { name: string; version: Uint8Array } {
  const [name, version] = asArray(item, 2, "tags");
  if (typeof name !== "string" || !isTagName(name))
    throw new DataError("text", "a name that no tag can have");
  return { name, version: asHash(version, "tags") };
}

/** The blobs that a snapshot is stored in, one after the other. */
export function sealParts(
  keys: RepositoryKeys,
  snapshot: Uint8Array,
): { id: Uint8Array; blob: Uint8Array }[] {
  const parts: { id: Uint8Array; blob: Uint8Array }[] = [];
  for (let at = 0; at < snapshot.length; at += PART_BYTES) {
    const blob = Buffer.concat([
      MAGIC,
      Uint8Array.of(VERSION, keys.epoch >> 8, keys.epoch & 0xff),
      sealIndex(keys.current.checkpointKey, bindingOf(keys), snapshot.subarray(at, at + PART_BYTES)),
    ]);
    parts.push({ id: createHash("sha256").update(blob).digest(), blob });
  }
  return parts;
}

/** Throws DataError. */
export function openPart(keys: RepositoryKeys, blob: Uint8Array): Uint8Array {
  if (blob.length < HEADER_BYTES + INDEX_SEAL_BYTES)
    throw new DataError("short", "part of a checkpoint shorter than its seal");
  if (Buffer.compare(blob.subarray(0, 4), MAGIC) !== 0)
    throw new DataError("checksum", "this is no part of a checkpoint");
  if (blob[4] !== VERSION) throw new DataError("version", `checkpoint of version ${String(blob[4])}`);
  const { checkpointKey } = keys.at(((blob[5] ?? 0) << 8) | (blob[6] ?? 0));
  return openIndex(checkpointKey, bindingOf(keys), blob.subarray(HEADER_BYTES));
}

function bindingOf(keys: RepositoryKeys): Buffer {
  return Buffer.concat([Buffer.from("coffer checkpoint 1", "latin1"), keys.repositoryId]);
}

function asHash(value: unknown, what: string): Uint8Array {
  return asBytes(value, HASH_BYTES, HASH_BYTES, what);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
