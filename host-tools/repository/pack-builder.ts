// SPDX-License-Identifier: MIT
/**
 * Fills one pack in memory, sealing chunks straight into their place and hashing along. The bytes depend only on the
 * chunks and their order, so that a pack that was interrupted is built again bit for bit.
 */

import { createHash, type Hash } from "node:crypto";
import { CHUNK_ID_BYTES, type ChunkCipher, SEAL_BYTES } from "./chunk-cipher";
import { MAX_CHUNK_BYTES } from "./chunker";
import {
  INDEX_SEAL_BYTES,
  MAX_PACK_CHUNKS,
  PACKED_CHUNK_BYTES,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  type Pack,
  type PackStream,
  type PackedChunk,
  encodePackedChunks,
  packIndexBinding,
  packTrailer,
  sealIndex,
  writePackHeader,
} from "./pack-format";
import type { ChunkKind, RepositoryKeys } from "./repository-keys";

const OVERHEAD_BYTES = PACK_HEADER_BYTES + 4 + INDEX_SEAL_BYTES + PACK_TRAILER_BYTES;
/** Hashed at least this much at once: a call has its price. */
const HASH_STEP_BYTES = 32 * 1024;

/** The buffer that a builder needs for packs of up to `targetBytes`; the largest chunk always fits in an empty pack. */
export function packCapacity(targetBytes: number): number {
  return Math.max(targetBytes, OVERHEAD_BYTES + MAX_CHUNK_BYTES + SEAL_BYTES + PACKED_CHUNK_BYTES);
}

export interface BuiltPack extends Pack {
  /** A view of the builder's buffer. */
  bytes: Uint8Array;
}

export class PackBuilder {
  readonly stream: PackStream;
  readonly #keys: RepositoryKeys;
  readonly #cipher: ChunkCipher;
  readonly #buffer: Uint8Array;
  readonly #targetBytes: number;
  readonly #hash: Hash = createHash("sha256");
  readonly #chunks: PackedChunk[] = [];
  #lengthBytes = PACK_HEADER_BYTES;
  #hashedBytes = 0;

  constructor(options: {
    stream: PackStream;
    keys: RepositoryKeys;
    cipher: ChunkCipher;
    /** `packCapacity(targetBytes)` bytes. */
    buffer: Uint8Array;
    targetBytes: number;
  }) {
    this.stream = options.stream;
    this.#keys = options.keys;
    this.#cipher = options.cipher;
    this.#buffer = options.buffer;
    this.#targetBytes = options.targetBytes;
    writePackHeader(this.#buffer, this.stream);
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  get chunkCount(): number {
    return this.#chunks.length;
  }

  /** The chunk added last as it is in the pack: a view. */
  get lastSealed(): Uint8Array {
    return this.#buffer.subarray(this.#chunks.at(-1)?.offsetBytes ?? this.#lengthBytes, this.#lengthBytes);
  }

  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /** Whether a chunk of this size may still be added. */
  fits(plaintextBytes: number): boolean {
    if (this.isEmpty) return true;
    const sizeBytes =
      this.#lengthBytes +
      plaintextBytes +
      SEAL_BYTES +
      (this.#chunks.length + 1) * PACKED_CHUNK_BYTES +
      OVERHEAD_BYTES;
    return sizeBytes <= this.#targetBytes && this.#chunks.length < MAX_PACK_CHUNKS;
  }

  add(kind: ChunkKind, id: Uint8Array, plaintext: Uint8Array): void {
    const sealedBytes = plaintext.length + SEAL_BYTES;
    this.#cipher.seal(kind, id, plaintext, this.#buffer, this.#lengthBytes, this.#hashUpTo);
    this.#chunks.push({ id, kind, offsetBytes: this.#lengthBytes, sealedBytes });
    this.#lengthBytes += sealedBytes;
  }

  finish(): BuiltPack {
    const sealed = sealIndex(
      this.#keys.packIndexKey,
      packIndexBinding(this.#keys.repositoryId, this.stream),
      encodePackedChunks(this.#chunks),
    );
    this.#buffer.set(sealed, this.#lengthBytes);
    this.#buffer.set(packTrailer(sealed.length), this.#lengthBytes + sealed.length);
    this.#lengthBytes += sealed.length + PACK_TRAILER_BYTES;
    this.#hash.update(this.#buffer.subarray(this.#hashedBytes, this.#lengthBytes));
    const id = this.#hash.digest();
    if (id.length !== CHUNK_ID_BYTES) throw new Error("SHA-256 is not 32 bytes");
    return {
      id,
      stream: this.stream,
      sizeBytes: this.#lengthBytes,
      chunks: this.#chunks,
      bytes: this.#buffer.subarray(0, this.#lengthBytes),
    };
  }

  readonly #hashUpTo = (end: number): void => {
    if (end - this.#hashedBytes < HASH_STEP_BYTES) return;
    this.#hash.update(this.#buffer.subarray(this.#hashedBytes, end));
    this.#hashedBytes = end;
  };
}
