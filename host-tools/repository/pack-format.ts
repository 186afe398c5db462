// SPDX-License-Identifier: MIT
/**
 * What a pack is made of, and its sealed index. docs/repository.md "Packs".
 *
 *   "CFPK" | u8 version | u8 stream | u16 epoch of the index's key
 *   sealed chunks, one after the other
 *   sealed index
 *   u32 length of the sealed index | "CFPE"
 *
 * A sealed index is tag | AES-256-GCM(HMAC(key, 1 | tag), nonce 0, plaintext), where tag = HMAC(key, 0 | binding |
 * plaintext): deterministic, and the key differs whenever the plaintext does. Index blobs are sealed the same way.
 */

import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import { CHUNK_ID_BYTES } from "./chunk-cipher";
import { MAX_PACK_CHUNKS, PACKED_CHUNK_BYTES, PACK_HEADER_BYTES, type PackedChunks } from "./packed-chunks";
import { ChunkKind } from "./repository-keys";

export const PACK_VERSION = 1;
export const PACK_TRAILER_BYTES = 8;
/** Devices of one push: a bit for each in an index. */
export const MAX_DEVICES = 30;
/** What sealing adds to an index. */
export const INDEX_SEAL_BYTES = 48;
/** Behind the chunk list of a pack's own index: a number that makes a pack differ from one of the same chunks. */
export const VARIANT_BYTES = 4;
/** The most a reader takes for a pack: far above what writers make. */
export const MAX_PACK_BYTES = 256 * 1024 * 1024;

/** Files and folders go to packs of their own, so that a listing reads little else than folders. */
export const PackStream = { data: 0, tree: 1 } as const;
export type PackStream = (typeof PackStream)[keyof typeof PackStream];

/** Which packs a chunk of that kind goes to. */
export function streamFor(kind: ChunkKind): PackStream {
  return kind === ChunkKind.tree || kind === ChunkKind.detail ? PackStream.tree : PackStream.data;
}

export interface Pack {
  id: Uint8Array;
  stream: PackStream;
  sizeBytes: number;
  chunks: PackedChunks;
}

const MAGIC = Buffer.from("CFPK", "latin1");
const END_MAGIC = Buffer.from("CFPE", "latin1");
const NONCE = Buffer.alloc(12);

export function writePackHeader(into: Uint8Array, stream: PackStream, epoch: number): void {
  into.set(MAGIC, 0);
  into[4] = PACK_VERSION;
  into[5] = stream;
  into[6] = epoch >> 8;
  into[7] = epoch & 0xff;
}

/** The epoch whose key seals the pack's index, from a header that `readPackHeader` took. */
export function readPackEpoch(header: Uint8Array): number {
  return ((header[6] ?? 0) << 8) | (header[7] ?? 0);
}

export function readPackHeader(bytes: Uint8Array): PackStream {
  if (bytes.length < PACK_HEADER_BYTES) throw new DataError("short", "pack shorter than its header");
  if (Buffer.compare(bytes.subarray(0, 4), MAGIC) !== 0) throw new DataError("checksum", "this is no pack");
  if (bytes[4] !== PACK_VERSION) throw new DataError("version", `pack of version ${String(bytes[4])}`);
  return streamOf(bytes[5]);
}

export function streamOf(value: number | undefined): PackStream {
  if (value !== PackStream.data && value !== PackStream.tree)
    throw new DataError("range", `pack stream ${String(value)}`);
  return value;
}

export function packTrailer(sealedIndexBytes: number): Buffer {
  const trailer = Buffer.alloc(PACK_TRAILER_BYTES);
  trailer.writeUInt32BE(sealedIndexBytes, 0);
  END_MAGIC.copy(trailer, 4);
  return trailer;
}

/** The length of the sealed index, from a pack's last bytes. */
export function readPackTrailer(bytes: Uint8Array): number {
  const trailer = Buffer.from(bytes);
  if (trailer.length !== PACK_TRAILER_BYTES) throw new DataError("short", "pack shorter than its trailer");
  if (Buffer.compare(trailer.subarray(4), END_MAGIC) !== 0)
    throw new DataError("checksum", "pack without an end");
  const length = trailer.readUInt32BE(0);
  if (length > INDEX_SEAL_BYTES + 4 + MAX_PACK_CHUNKS * PACKED_CHUNK_BYTES + VARIANT_BYTES)
    throw new DataError("range", "pack index too long");
  return length;
}

/** A pack's own index: its chunks, and u32 variant. */
export function packIndex(chunkList: Uint8Array, variant: number): Buffer {
  const end = Buffer.alloc(VARIANT_BYTES);
  end.writeUInt32BE(variant);
  return Buffer.concat([chunkList, end]);
}

/** Puts another length for the chunk number `at` into the list. */
export function writeSealedBytes(chunkList: Buffer, at: number, sealedBytes: number): void {
  chunkList.writeUInt32BE(sealedBytes, 4 + at * PACKED_CHUNK_BYTES + CHUNK_ID_BYTES + 1);
}

export function sealIndex(key: Uint8Array, binding: Uint8Array, plaintext: Uint8Array): Buffer {
  const tag = indexTag(key, binding, plaintext);
  const cipher = createCipheriv("aes-256-gcm", indexCipherKey(key, tag), NONCE);
  cipher.setAAD(binding);
  return Buffer.concat([tag, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

export function openIndex(key: Uint8Array, binding: Uint8Array, sealed: Uint8Array): Buffer {
  if (sealed.length < INDEX_SEAL_BYTES) throw new DataError("short", "sealed index shorter than its seal");
  const tag = sealed.subarray(0, 32);
  const decipher = createDecipheriv("aes-256-gcm", indexCipherKey(key, tag), NONCE);
  decipher.setAAD(binding);
  decipher.setAuthTag(sealed.subarray(sealed.length - 16));
  const plaintext = decipher.update(sealed.subarray(32, sealed.length - 16));
  try {
    decipher.final();
  } catch {
    throw new DataError("forged", "sealed index does not verify");
  }
  if (!timingSafeEqual(indexTag(key, binding, plaintext), tag))
    throw new DataError("forged", "sealed index does not verify");
  return plaintext;
}

function indexTag(key: Uint8Array, binding: Uint8Array, plaintext: Uint8Array): Buffer {
  return createHmac("sha256", key).update(Uint8Array.of(0)).update(binding).update(plaintext).digest();
}

function indexCipherKey(key: Uint8Array, tag: Uint8Array): Buffer {
  return createHmac("sha256", key).update(Uint8Array.of(1)).update(tag).digest();
}

export function packIndexBinding(repositoryId: Uint8Array, stream: PackStream): Buffer {
  return Buffer.concat([Buffer.from("coffer pack 1", "latin1"), repositoryId, Uint8Array.of(stream)]);
}
