// SPDX-License-Identifier: MIT
/** Seals what a pack still holds as plaintext, in its place, and hashes the whole while it is in the processor's cache. */

import { createHash } from "node:crypto";
import { CHUNK_ID_BYTES, type ChunkCipher, SEAL_BYTES } from "./chunk-cipher";
import type { PackedChunk } from "./pack-format";

/** Its plaintext lies one byte behind `offsetBytes`. */
export type UnsealedChunk = PackedChunk;

/** Hashed at least this much at once: a call has its price. */
const HASH_STEP_BYTES = 32 * 1024;

/** The pack's id. `unsealed` is in the order of the pack. */
export function sealPack(
  cipher: ChunkCipher,
  pack: Uint8Array,
  unsealed: readonly UnsealedChunk[],
): Uint8Array {
  const hash = createHash("sha256");
  let hashedBytes = 0;
  const hashUpTo = (end: number): void => {
    if (end - hashedBytes < HASH_STEP_BYTES) return;
    hash.update(pack.subarray(hashedBytes, end));
    hashedBytes = end;
  };
  for (const { kind, id, offsetBytes, sealedBytes } of unsealed) {
    const start = offsetBytes + 1;
    const plaintext = pack.subarray(start, start + sealedBytes - SEAL_BYTES);
    cipher.seal(kind, id, plaintext, pack, offsetBytes, hashUpTo);
  }
  hash.update(pack.subarray(hashedBytes));
  const id = hash.digest();
  if (id.length !== CHUNK_ID_BYTES) throw new Error("SHA-256 is not 32 bytes");
  return id;
}
