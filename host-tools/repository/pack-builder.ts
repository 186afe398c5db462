// SPDX-License-Identifier: MIT
/**
 * Fills one pack in memory. Pieces of files lie in their place as plaintext until the pack is full and `sealPack` (in a
 * worker, for large packs) seals and hashes them all; everything else is sealed at once. The bytes depend only on the
 * chunks and their order, so that a pack that was interrupted is built again bit for bit.
 */

import { type ChunkCipher, SEAL_BYTES } from "./chunk-cipher";
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
import { copyBytes } from "./copy-bytes";
import { type UnsealedChunk, sealPack } from "./pack-sealing";
import { ChunkKind, type RepositoryKeys } from "./repository-keys";

const OVERHEAD_BYTES = PACK_HEADER_BYTES + 4 + INDEX_SEAL_BYTES + PACK_TRAILER_BYTES;

/** The buffer that a builder needs for packs of up to `targetBytes`; the largest chunk always fits in an empty pack. */
export function packCapacity(targetBytes: number): number {
  return Math.max(targetBytes, OVERHEAD_BYTES + MAX_CHUNK_BYTES + SEAL_BYTES + PACKED_CHUNK_BYTES);
}

/** Memory of a pack, within reach of the thread that seals it. */
export type PackBuffer = Uint8Array<SharedArrayBuffer>;

/** A full pack of which only the id is missing, and the seals of `unsealed`. */
export interface UnsealedPack extends Omit<Pack, "id"> {
  buffer: PackBuffer;
  unsealed: UnsealedChunk[];
}

export interface BuiltPack extends Pack {
  /** The builder's. */
  buffer: PackBuffer;
  /** A view of it. */
  bytes: Uint8Array;
}

export function builtPack(pack: UnsealedPack, id: Uint8Array): BuiltPack {
  const { stream, sizeBytes, chunks, buffer } = pack;
  return { id, stream, sizeBytes, chunks, buffer, bytes: buffer.subarray(0, sizeBytes) };
}

export class PackBuilder {
  readonly stream: PackStream;
  readonly #keys: RepositoryKeys;
  readonly #cipher: ChunkCipher;
  readonly #buffer: PackBuffer;
  readonly #targetBytes: number;
  readonly #epoch: number;
  readonly #chunks: PackedChunk[] = [];
  readonly #unsealed: UnsealedChunk[] = [];
  #lengthBytes = PACK_HEADER_BYTES;

  constructor(options: {
    stream: PackStream;
    keys: RepositoryKeys;
    cipher: ChunkCipher;
    /** `packCapacity(targetBytes)` bytes. */
    buffer: PackBuffer;
    targetBytes: number;
  }) {
    this.stream = options.stream;
    this.#keys = options.keys;
    this.#cipher = options.cipher;
    this.#buffer = options.buffer;
    this.#targetBytes = options.targetBytes;
    this.#epoch = options.keys.epoch;
    writePackHeader(this.#buffer, this.stream, this.#epoch);
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  get chunkCount(): number {
    return this.#chunks.length;
  }

  /** The chunk added last as it is in the pack, unless it was a piece of a file: a view. */
  get lastSealed(): Uint8Array {
    return this.#buffer.subarray(this.#chunks.at(-1)?.offsetBytes ?? this.#lengthBytes, this.#lengthBytes);
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
    const chunk = { id, kind, offsetBytes: this.#lengthBytes, sealedBytes: plaintext.length + SEAL_BYTES };
    if (kind === ChunkKind.data) {
      copyBytes(plaintext, this.#buffer, chunk.offsetBytes + 1);
      this.#unsealed.push(chunk);
    } else {
      this.#cipher.seal(kind, id, plaintext, this.#buffer, chunk.offsetBytes);
    }
    this.#chunks.push(chunk);
    this.#lengthBytes += chunk.sealedBytes;
  }

  /** Closes the pack; what is left to do is `sealPack`'s. */
  close(): UnsealedPack {
    const sealed = sealIndex(
      this.#keys.at(this.#epoch).packIndexKey,
      packIndexBinding(this.#keys.repositoryId, this.stream),
      encodePackedChunks(this.#chunks),
    );
    this.#buffer.set(sealed, this.#lengthBytes);
    this.#buffer.set(packTrailer(sealed.length), this.#lengthBytes + sealed.length);
    this.#lengthBytes += sealed.length + PACK_TRAILER_BYTES;
    return {
      stream: this.stream,
      sizeBytes: this.#lengthBytes,
      chunks: this.#chunks,
      buffer: this.#buffer,
      unsealed: this.#unsealed,
    };
  }

  /** The same, and seals it here and now. */
  finish(): BuiltPack {
    const pack = this.close();
    const id = sealPack(this.#cipher, pack.buffer.subarray(0, pack.sizeBytes), pack.unsealed);
    return builtPack(pack, id);
  }
}
