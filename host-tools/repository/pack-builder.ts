// SPDX-License-Identifier: MIT
/**
 * Fills one pack in memory. Pieces of files lie there as plaintext until the pack is full and `sealPack` (in a worker, for
 * large packs) compresses, seals and hashes them all; everything else is sealed at once. How much fits is counted before
 * compression. The bytes depend only on the chunks, their order, the variant and the compressor, so that a pack that was interrupted is
 * built again bit for bit.
 */

import { type ChunkCipher, SEAL_BYTES } from "./chunk-cipher";
import { MAX_CHUNK_BYTES } from "./chunker";
import {
  INDEX_SEAL_BYTES,
  PACK_TRAILER_BYTES,
  type Pack,
  type PackStream,
  VARIANT_BYTES,
  writePackHeader,
} from "./pack-format";
import { ChunkList, PACKED_CHUNK_BYTES, PACK_HEADER_BYTES, PackedChunks } from "./packed-chunks";
import { copyBytes } from "../copy-bytes";
import { type SealedPack, type UnsealedPack, sealPack } from "./pack-sealing";
import { ChunkKind, type RepositoryKeys } from "./repository-keys";

const OVERHEAD_BYTES = PACK_HEADER_BYTES + 4 + VARIANT_BYTES + INDEX_SEAL_BYTES + PACK_TRAILER_BYTES;

/** A quarter of what a reader takes: what is kept in memory of a pack of tiny files stays small. */
const MAX_CHUNKS = 16_384;

/** The buffer that a builder needs for packs of up to `targetBytes`; the largest chunk always fits in an empty pack. */
export function packCapacity(targetBytes: number): number {
  return Math.max(targetBytes, OVERHEAD_BYTES + MAX_CHUNK_BYTES + SEAL_BYTES + PACKED_CHUNK_BYTES);
}

/** Memory of a pack, within reach of the thread that seals it. */
export type PackBuffer = Uint8Array<SharedArrayBuffer>;

export interface BuiltPack extends Pack {
  /** The builder's. */
  buffer: PackBuffer;
  /** A view of it. */
  bytes: Uint8Array;
}

export function builtPack({ stream, buffer }: UnsealedPack, sealed: SealedPack): BuiltPack {
  const { id, sizeBytes, chunkList } = sealed;
  const chunks = PackedChunks.read(chunkList, 0, sizeBytes);
  return { id, stream, sizeBytes, chunks, buffer, bytes: buffer.subarray(0, sizeBytes) };
}

export class PackBuilder {
  readonly stream: PackStream;
  readonly #keys: RepositoryKeys;
  readonly #cipher: ChunkCipher;
  readonly #buffer: PackBuffer;
  readonly #targetBytes: number;
  readonly #variant: number;
  readonly #epoch: number;
  readonly #chunks = new ChunkList();
  #lastOffsetBytes = PACK_HEADER_BYTES;
  #lengthBytes = PACK_HEADER_BYTES;

  constructor(options: {
    stream: PackStream;
    keys: RepositoryKeys;
    cipher: ChunkCipher;
    /** `packCapacity(targetBytes)` bytes. */
    buffer: PackBuffer;
    targetBytes: number;
    /** 0..2^32-1; packs of the same chunks and the same variant are the same. */
    variant: number;
  }) {
    this.#variant = options.variant;
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

  get filledBytes(): number {
    return this.#lengthBytes;
  }

  /** The chunk added last as it is in the pack, unless it was a piece of a file: a view. */
  get lastSealed(): Uint8Array {
    return this.#buffer.subarray(this.#lastOffsetBytes, this.#lengthBytes);
  }

  /** Whether a chunk of this size may still be added. */
  fits(plaintextBytes: number): boolean {
    if (this.isEmpty) return true;
    return this.#sizeWith(plaintextBytes) <= this.#targetBytes && this.#chunks.length < MAX_CHUNKS;
  }

  /** Whether there is memory for it, however full the pack may already be. */
  hasRoom(plaintextBytes: number): boolean {
    return this.#sizeWith(plaintextBytes) <= this.#buffer.length && this.#chunks.length < MAX_CHUNKS;
  }

  #sizeWith(plaintextBytes: number): number {
    const indexBytes = (this.#chunks.length + 1) * PACKED_CHUNK_BYTES;
    return this.#lengthBytes + plaintextBytes + SEAL_BYTES + indexBytes + OVERHEAD_BYTES;
  }

  add(kind: ChunkKind, id: Uint8Array, plaintext: Uint8Array): void {
    const offsetBytes = this.#lengthBytes;
    let sealedBytes = plaintext.length + SEAL_BYTES;
    if (kind === ChunkKind.data) copyBytes(plaintext, this.#buffer, offsetBytes + 1);
    else sealedBytes = this.#cipher.seal(kind, id, plaintext, this.#buffer, offsetBytes);
    this.#chunks.add(id, kind, sealedBytes);
    this.#lastOffsetBytes = offsetBytes;
    this.#lengthBytes += sealedBytes;
  }

  /** What is left to do is `sealPack`'s. */
  close(): UnsealedPack {
    return {
      stream: this.stream,
      buffer: this.#buffer,
      filledBytes: this.#lengthBytes,
      chunkList: this.#chunks.finish(),
      variant: this.#variant,
      indexKey: this.#keys.at(this.#epoch).packIndexKey,
    };
  }

  /** The same, and seals it here and now. */
  finish(): BuiltPack {
    const pack = this.close();
    return builtPack(pack, sealPack(this.#keys.repositoryId, this.#cipher, pack));
  }
}
