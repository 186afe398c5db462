// SPDX-License-Identifier: MIT
/**
 * Makes a pack of what a builder gathered: compresses and seals the pieces of files, moves everything together, adds the
 * sealed index, and hashes the whole while it is in the processor's cache. All in the pack's own memory: what is written
 * never gets ahead of what is read, because a sealed chunk is never longer than its room.
 */

import { createHash } from "node:crypto";
import { type ChunkCipher, SEAL_BYTES } from "./chunk-cipher";
import {
  PACK_TRAILER_BYTES,
  type PackStream,
  packIndex,
  packIndexBinding,
  packTrailer,
  sealIndex,
  writeSealedBytes,
} from "./pack-format";
import { PACK_HEADER_BYTES, PackedChunks } from "./packed-chunks";
import { ChunkKind } from "./repository-keys";

/** What a thread that makes packs is given of the keys of the newest epoch: it makes no ids. */
export interface PackKeys {
  repositoryId: Uint8Array;
  epoch: number;
  chunkKey: Uint8Array;
}

export interface UnsealedPack {
  stream: PackStream;
  /** Begins with the pack's header. */
  buffer: Uint8Array<SharedArrayBuffer>;
  filledBytes: number;
  /**
   * As in a pack's index. Where a chunk of kind data will be, its plaintext lies one byte behind the start of its room,
   * which is SEAL_BYTES longer; the others are sealed.
   */
  chunkList: Buffer;
  variant: number;
  /** Of the epoch in the pack's header. */
  indexKey: Uint8Array;
}

export interface SealedPack {
  id: Uint8Array;
  sizeBytes: number;
  chunkList: Buffer;
}

/** Hashed at least this much at once: a call has its price. */
const HASH_STEP_BYTES = 32 * 1024;

export function sealPack(repositoryId: Uint8Array, cipher: ChunkCipher, pack: UnsealedPack): SealedPack {
  const { stream, buffer } = pack;
  const chunkList = Buffer.from(pack.chunkList);
  const hash = createHash("sha256");
  let hashedBytes = 0;
  const hashUpTo = (end: number): void => {
    if (end - hashedBytes < HASH_STEP_BYTES) return;
    hash.update(buffer.subarray(hashedBytes, end));
    hashedBytes = end;
  };
  let at = PACK_HEADER_BYTES;
  let i = 0;
  for (const { kind, id, offsetBytes, sealedBytes: roomBytes } of PackedChunks.read(
    pack.chunkList,
    0,
    buffer.length,
  )) {
    let sealedBytes = roomBytes;
    if (kind === ChunkKind.data) {
      const plaintext = buffer.subarray(offsetBytes + 1, offsetBytes + 1 + sealedBytes - SEAL_BYTES);
      sealedBytes = cipher.seal(kind, id, plaintext, buffer, at, hashUpTo);
      writeSealedBytes(chunkList, i, sealedBytes);
    } else if (at !== offsetBytes) {
      buffer.copyWithin(at, offsetBytes, offsetBytes + sealedBytes);
    }
    at += sealedBytes;
    i++;
  }
  const binding = packIndexBinding(repositoryId, stream);
  const index = sealIndex(pack.indexKey, binding, packIndex(chunkList, pack.variant));
  buffer.set(index, at);
  buffer.set(packTrailer(index.length), at + index.length);
  const sizeBytes = at + index.length + PACK_TRAILER_BYTES;
  hash.update(buffer.subarray(hashedBytes, sizeBytes));
  return { id: hash.digest(), sizeBytes, chunkList };
}
