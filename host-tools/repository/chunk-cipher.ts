// SPDX-License-Identifier: MIT
/**
 * Names and seals chunks. docs/repository.md "Chunks".
 *
 *   id     = HMAC-SHA-256(chunk id key of the kind, plaintext)
 *   key    = HMAC-SHA-256(chunk key of the epoch, u8 kind | u8 encoding | id)
 *   sealed = u8 encoding | AES-256-GCM(key, nonce 0, additional, encoded plaintext) | 16 bytes of tag | u16 epoch
 *   additional = "coffer chunk 1" | repository | u8 kind | u8 encoding | id
 *
 * Deterministic on purpose: the same chunk gives the same bytes in the next attempt, so that an interrupted pack can be
 * built again and go on where it stopped. A key is used for one plaintext only because it comes from that plaintext's
 * id; nobody without the repository's keys can compute either.
 */

import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { copyBytes } from "./copy-bytes";
import { DataError } from "../../firmware/protocol/data-error";
import type { ChunkKind, RepositoryKeys } from "./repository-keys";

export const CHUNK_ID_BYTES = 32;
/** Bytes that sealing adds. */
export const SEAL_BYTES = 19;
/** The bytes as they are. 1 is kept for zstd. */
export const ENCODING_RAW = 0;

const TAG_BYTES = 16;
const EPOCH_BYTES = 2;
const NONCE = Buffer.alloc(12);
const LABEL = Buffer.from("coffer chunk 1", "latin1");
/** A cipher's output is a fresh buffer each time: pieces of this size are reused by the allocator instead of mapped. */
const PIECE_BYTES = 64 * 1024;

/** What sealing and opening need of the keys: a worker thread is given no more, and then makes no ids. */
export type SealingKeys = Pick<RepositoryKeys, "repositoryId" | "epoch" | "chunkKeyAt"> &
  Partial<Pick<RepositoryKeys, "chunkIdKey">>;

export class ChunkCipher {
  readonly #keys: SealingKeys;
  /** LABEL | repository | kind | encoding | id; from kind on it is also what the key is made of. */
  readonly #binding: Buffer;
  readonly #keyInput: Buffer;

  constructor(keys: SealingKeys) {
    this.#keys = keys;
    this.#binding = Buffer.concat([LABEL, keys.repositoryId, Buffer.alloc(2 + CHUNK_ID_BYTES)]);
    this.#keyInput = this.#binding.subarray(LABEL.length + keys.repositoryId.length);
  }

  id(kind: ChunkKind, plaintext: Uint8Array): Buffer {
    const key = this.#keys.chunkIdKey?.(kind);
    if (key === undefined) throw new Error("these keys make no ids");
    return createHmac("sha256", key).update(plaintext).digest();
  }

  /**
   * Writes the sealed chunk, plaintext.length + SEAL_BYTES, to `into` at `at`. `onPiece` hears up to where `into` is
   * written while that is still in the processor's cache.
   */
  seal(
    kind: ChunkKind,
    id: Uint8Array,
    plaintext: Uint8Array,
    into: Uint8Array,
    at: number,
    onPiece?: (end: number) => void,
  ): void {
    const { epoch } = this.#keys;
    const cipher = createCipheriv("aes-256-gcm", this.#key(epoch, kind, ENCODING_RAW, id), NONCE);
    cipher.setAAD(this.#binding);
    into[at] = ENCODING_RAW;
    for (let from = 0; from < plaintext.length; from += PIECE_BYTES) {
      const piece = cipher.update(plaintext.subarray(from, from + PIECE_BYTES));
      copyBytes(piece, into, at + 1 + from);
      onPiece?.(at + 1 + from + piece.length);
    }
    cipher.final();
    into.set(cipher.getAuthTag(), at + 1 + plaintext.length);
    into.set([epoch >> 8, epoch & 0xff], at + 1 + plaintext.length + TAG_BYTES);
  }

  /** The plaintext; DataError "forged" unless these are the bytes that were sealed under this kind and id. */
  open(kind: ChunkKind, id: Uint8Array, sealed: Uint8Array): Buffer {
    const plaintext = Buffer.allocUnsafe(Math.max(0, sealed.length - SEAL_BYTES));
    this.openInto(kind, id, sealed, plaintext);
    return plaintext;
  }

  /** The same into a buffer of the plaintext's length. What is in it counts only when this returns. */
  openInto(kind: ChunkKind, id: Uint8Array, sealed: Uint8Array, into: Uint8Array): void {
    if (sealed.length < SEAL_BYTES) throw new DataError("short", "sealed chunk shorter than its seal");
    const encoding = sealed[0] ?? 0;
    if (encoding !== ENCODING_RAW)
      throw new DataError(
        "version",
        `chunk with encoding ${String(encoding)}, which this version does not know`,
      );
    const end = sealed.length - TAG_BYTES - EPOCH_BYTES;
    const epoch = ((sealed[sealed.length - 2] ?? 0) << 8) | (sealed[sealed.length - 1] ?? 0);
    const decipher = createDecipheriv("aes-256-gcm", this.#key(epoch, kind, encoding, id), NONCE);
    decipher.setAAD(this.#binding);
    decipher.setAuthTag(sealed.subarray(end, end + TAG_BYTES));
    for (let from = 1; from < end; from += PIECE_BYTES)
      into.set(decipher.update(sealed.subarray(from, Math.min(end, from + PIECE_BYTES))), from - 1);
    try {
      decipher.final();
    } catch {
      throw new DataError("forged", "sealed chunk does not verify");
    }
  }

  #key(epoch: number, kind: ChunkKind, encoding: number, id: Uint8Array): Buffer {
    this.#keyInput[0] = kind;
    this.#keyInput[1] = encoding;
    this.#keyInput.set(id, 2);
    return createHmac("sha256", this.#keys.chunkKeyAt(epoch)).update(this.#keyInput).digest();
  }
}
