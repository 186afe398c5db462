// SPDX-License-Identifier: MIT
/**
 * The chunks of a pack as they are written in indexes: u32 count, then for each its id, kind and sealed length; offsets
 * follow from the order. Kept in that form, because many of them are read by every command: an object for each would
 * cost more than all else that is done with an index.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { CHUNK_ID_BYTES, SEAL_BYTES } from "./chunk-cipher";
import { CHUNK_KINDS, type ChunkKind } from "./repository-keys";

/** id, u8 kind, u32 sealed length. */
export const PACKED_CHUNK_BYTES = CHUNK_ID_BYTES + 5;
export const MAX_PACK_CHUNKS = 65536;
/** What a pack begins with: the offset of its first chunk. */
export const PACK_HEADER_BYTES = 8;
const COUNT_BYTES = 4;
const FIRST_LIST_CHUNKS = 64;

export interface PackedChunk {
  id: Uint8Array;
  kind: ChunkKind;
  /** Of the sealed chunk within the pack. */
  offsetBytes: number;
  sealedBytes: number;
}

/** Length of a list of so many chunks. */
export function chunkListBytes(chunkCount: number): number {
  return COUNT_BYTES + chunkCount * PACKED_CHUNK_BYTES;
}

/** Such a list while it gets longer. */
export class ChunkList {
  #bytes = Buffer.alloc(COUNT_BYTES + FIRST_LIST_CHUNKS * PACKED_CHUNK_BYTES);
  #lengthBytes = COUNT_BYTES;

  get length(): number {
    return (this.#lengthBytes - COUNT_BYTES) / PACKED_CHUNK_BYTES;
  }

  add(id: Uint8Array, kind: ChunkKind, sealedBytes: number): void {
    const at = this.#lengthBytes;
    if (at + PACKED_CHUNK_BYTES > this.#bytes.length) {
      const bytes = Buffer.alloc(2 * this.#bytes.length);
      this.#bytes.copy(bytes);
      this.#bytes = bytes;
    }
    this.#bytes.set(id, at);
    this.#bytes[at + CHUNK_ID_BYTES] = kind;
    this.#bytes.writeUInt32BE(sealedBytes, at + CHUNK_ID_BYTES + 1);
    this.#lengthBytes = at + PACKED_CHUNK_BYTES;
  }

  /** As it is written: a view, until the next chunk. */
  finish(): Buffer {
    this.#bytes.writeUInt32BE(this.length, 0);
    return this.#bytes.subarray(0, this.#lengthBytes);
  }
}

export class PackedChunks implements Iterable<PackedChunk> {
  /** The encoded list. Not to be changed. */
  readonly bytes: Buffer;
  readonly length: number;

  private constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.length = (bytes.length - COUNT_BYTES) / PACKED_CHUNK_BYTES;
  }

  /** In their order, without gaps. */
  static of(chunks: readonly Omit<PackedChunk, "offsetBytes">[]): PackedChunks {
    const list = new ChunkList();
    for (const { id, kind, sealedBytes } of chunks) list.add(id, kind, sealedBytes);
    return new PackedChunks(list.finish());
  }

  /** Reads the list at `at`, as a view; the chunks must fit in a pack of `packBytes`. */
  static read(bytes: Buffer, at: number, packBytes: number): PackedChunks {
    if (bytes.length - at < COUNT_BYTES) throw new DataError("short", "chunk list cut off");
    const count = bytes.readUInt32BE(at);
    const end = at + chunkListBytes(count);
    if (count > MAX_PACK_CHUNKS) throw new DataError("range", `${String(count)} chunks in a pack`);
    if (end > bytes.length) throw new DataError("short", "chunk list cut off");
    const list = new PackedChunks(bytes.subarray(at, end));
    let endOfChunk = PACK_HEADER_BYTES;
    list.each((_, kind, offsetBytes, sealedBytes) => {
      if (kind >= CHUNK_KINDS) throw new DataError("range", `chunk kind ${String(kind)}`);
      endOfChunk = offsetBytes + sealedBytes;
      if (sealedBytes < SEAL_BYTES || endOfChunk > packBytes)
        throw new DataError("range", "chunk outside its pack");
    });
    return list;
  }

  /** A list that `read` has taken before. */
  static again(bytes: Buffer): PackedChunks {
    return new PackedChunks(bytes);
  }

  /** Visits all in order, without an object for each; `idAt` is where the id is in `bytes`. */
  each(visit: (idAt: number, kind: number, offsetBytes: number, sealedBytes: number) => void): void {
    const { bytes } = this;
    let offsetBytes = PACK_HEADER_BYTES;
    for (let at = COUNT_BYTES; at < bytes.length; at += PACKED_CHUNK_BYTES) {
      const sealedBytes = bytes.readUInt32BE(at + CHUNK_ID_BYTES + 1);
      visit(at, bytes[at + CHUNK_ID_BYTES] ?? 0, offsetBytes, sealedBytes);
      offsetBytes += sealedBytes;
    }
  }

  /** Ids are views. */
  *[Symbol.iterator](): Iterator<PackedChunk> {
    const chunks: PackedChunk[] = [];
    this.each((idAt, kind, offsetBytes, sealedBytes) => {
      const id = this.bytes.subarray(idAt, idAt + CHUNK_ID_BYTES);
      chunks.push({ id, kind: kind as ChunkKind, offsetBytes, sealedBytes });
    });
    yield* chunks;
  }

  /** The id of the chunk number `i`: a view; undefined when there are not so many. */
  idOf(i: number): Uint8Array | undefined {
    const at = COUNT_BYTES + i * PACKED_CHUNK_BYTES;
    return i < this.length ? this.bytes.subarray(at, at + CHUNK_ID_BYTES) : undefined;
  }
}
