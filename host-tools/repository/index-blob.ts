// SPDX-License-Identifier: MIT
/**
 * Index blobs make packs findable: which chunks are in which pack and where. Uploaded after the packs that they name and
 * before the log entry that names them. docs/repository.md "Index".
 *
 *   "CFIX" | u8 version | u16 epoch | sealed index (pack-format.ts)
 *   plaintext: u32 packs, then for each: id, u8 stream, u32 size, u32 devices, chunk list
 *
 * `devices` has bit i set when the i-th device of the log entry that names this index stored the pack.
 *
 * A small index needs no blob: it travels inside the entry, sealed with it.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { CHUNK_ID_BYTES } from "./chunk-cipher";
import { INDEX_SEAL_BYTES, MAX_PACK_BYTES, type Pack, openIndex, sealIndex, streamOf } from "./pack-format";
import { PackedChunks, chunkListBytes } from "./packed-chunks";
import type { RepositoryKeys } from "./repository-keys";

const INDEX_VERSION = 1;
const MAGIC = Buffer.from("CFIX", "latin1");
const HEADER_BYTES = 7;
const PACK_FIELDS_BYTES = CHUNK_ID_BYTES + 1 + 4 + 4;
/** A writer starts a new blob beyond this; a reader takes four times as much. */
export const INDEX_BLOB_TARGET_BYTES = 2 * 1024 * 1024;
export const MAX_INDEX_BLOB_BYTES = 4 * INDEX_BLOB_TARGET_BYTES;

export interface IndexedPackRecord extends Pack {
  deviceMask: number;
}

/** What a pack of so many chunks adds to an index. */
export function indexedPackBytes(chunkCount: number): number {
  return PACK_FIELDS_BYTES + chunkListBytes(chunkCount);
}

/** Packs for one blob each, in their order. */
export function* inIndexBlobs(
  packs: Iterable<IndexedPackRecord>,
  /** Whether a blob should end with this pack when it has `bytes` already. */
  isEnd: (pack: IndexedPackRecord, bytes: number) => boolean = () => false,
): Generator<IndexedPackRecord[]> {
  let group: IndexedPackRecord[] = [];
  let bytes = 0;
  for (const pack of packs) {
    bytes += indexedPackBytes(pack.chunks.length);
    if (group.length > 0 && bytes > INDEX_BLOB_TARGET_BYTES) {
      yield group;
      group = [];
      bytes = indexedPackBytes(pack.chunks.length);
    }
    group.push(pack);
    if (!isEnd(pack, bytes)) continue;
    yield group;
    group = [];
    bytes = 0;
  }
  if (group.length > 0) yield group;
}

export function encodeIndex(packs: readonly IndexedPackRecord[]): Buffer {
  const parts: Uint8Array[] = [];
  const count = Buffer.alloc(4);
  count.writeUInt32BE(packs.length);
  parts.push(count);
  for (const pack of packs) {
    const fields = Buffer.alloc(PACK_FIELDS_BYTES);
    fields.set(pack.id, 0);
    fields[CHUNK_ID_BYTES] = pack.stream;
    fields.writeUInt32BE(pack.sizeBytes, CHUNK_ID_BYTES + 1);
    fields.writeUInt32BE(pack.deviceMask, CHUNK_ID_BYTES + 5);
    parts.push(fields, pack.chunks.bytes);
  }
  return Buffer.concat(parts);
}

export function decodeIndex(plaintext: Uint8Array): IndexedPackRecord[] {
  const bytes = Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.length);
  if (bytes.length < 4) throw new DataError("short", "index cut off");
  const count = bytes.readUInt32BE(0);
  const packs: IndexedPackRecord[] = [];
  let at = 4;
  for (let i = 0; i < count; i++) {
    if (bytes.length - at < PACK_FIELDS_BYTES) throw new DataError("short", "index cut off");
    const sizeBytes = bytes.readUInt32BE(at + CHUNK_ID_BYTES + 1);
    if (sizeBytes > MAX_PACK_BYTES) throw new DataError("range", `pack of ${String(sizeBytes)} bytes`);
    const stream = streamOf(bytes[at + CHUNK_ID_BYTES]);
    const chunks = PackedChunks.read(bytes, at + PACK_FIELDS_BYTES, sizeBytes);
    const deviceMask = bytes.readUInt32BE(at + CHUNK_ID_BYTES + 5);
    packs.push({ id: bytes.subarray(at, at + CHUNK_ID_BYTES), stream, sizeBytes, chunks, deviceMask });
    at += PACK_FIELDS_BYTES + chunks.bytes.length;
  }
  if (at !== bytes.length) throw new DataError("long", "bytes after the index");
  return packs;
}

export function sealIndexBlob(keys: RepositoryKeys, packs: readonly IndexedPackRecord[]): Buffer {
  return Buffer.concat([
    MAGIC,
    Uint8Array.of(INDEX_VERSION, keys.epoch >> 8, keys.epoch & 0xff),
    sealIndex(keys.current.indexKey, binding(keys), encodeIndex(packs)),
  ]);
}

export function openIndexBlob(keys: RepositoryKeys, blob: Uint8Array): IndexedPackRecord[] {
  if (blob.length < HEADER_BYTES + INDEX_SEAL_BYTES)
    throw new DataError("short", "index blob shorter than its seal");
  if (Buffer.compare(blob.subarray(0, 4), MAGIC) !== 0)
    throw new DataError("checksum", "this is no index blob");
  if (blob[4] !== INDEX_VERSION) throw new DataError("version", `index blob of version ${String(blob[4])}`);
  const { indexKey } = keys.at(((blob[5] ?? 0) << 8) | (blob[6] ?? 0));
  return decodeIndex(openIndex(indexKey, binding(keys), blob.subarray(HEADER_BYTES)));
}

function binding(keys: RepositoryKeys): Buffer {
  return Buffer.concat([Buffer.from("coffer index 1", "latin1"), keys.repositoryId]);
}
