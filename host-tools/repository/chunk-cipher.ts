// SPDX-License-Identifier: MIT
/**
 * Names and seals chunks. docs/repository.md "Chunks".
 *
 *   id     = HMAC-SHA-256(chunk id key of the kind, plaintext)
 *
 *   encoding 0, the plaintext as it is
 *   key    = HMAC-SHA-256(chunk key of the epoch, u8 kind | u8 encoding | id)
 *   sealed = u8 encoding | AES-256-GCM(key, nonce 0, additional, plaintext) | 16 bytes of tag | u16 epoch
 *
 *   encoding 1, a zstd frame
 *   e      = HMAC-SHA-256(chunk key of the epoch, u8 255 | u8 encoding | frame)
 *   key    = HMAC-SHA-256(chunk key of the epoch, u8 kind | u8 encoding | id | e)
 *   sealed = u8 encoding | e | AES-256-GCM(key, nonce 0, additional, frame) | 16 bytes of tag | u16 epoch
 *
 *   additional = "coffer chunk 1" | repository | u8 kind | u8 encoding | id
 *
 * Deterministic on purpose: the same chunk gives the same bytes in the next attempt, so that an interrupted pack can be
 * built again and go on where it stopped. A key is used for one text only because it comes from that text: by the id, and
 * by `e` where a compressor may make other bytes of one plaintext. Nobody without the repository's keys can compute either.
 */

import { type CipherGCM, createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import { ChunkEncoder, ENCODED_EXTRA_BYTES, ENCODING_RAW, ENCODING_ZSTD } from "./chunk-encoding";
import { MAX_CHUNK_BYTES } from "./chunker";
import { copyBytes } from "../copy-bytes";
import type { ChunkKind, RepositoryKeys } from "./repository-keys";

export const CHUNK_ID_BYTES = 32;
/** Bytes that sealing adds at most. */
export const SEAL_BYTES = 19;

const TAG_BYTES = 16;
const EPOCH_BYTES = 2;
/** `e`. */
const DIGEST_BYTES = ENCODED_EXTRA_BYTES;
const NONCE = Buffer.alloc(12);
const LABEL = Buffer.from("coffer chunk 1", "latin1");
/** Instead of a kind: `e` is never a key. */
const ENCODED = 255;
/** A cipher's output is a fresh buffer each time: pieces of this size are reused by the allocator instead of mapped. */
const PIECE_BYTES = 64 * 1024;

/** What sealing and opening need of the keys. */
export type ChunkKeys = Pick<RepositoryKeys, "repositoryId" | "epoch" | "chunkKeyAt"> &
  Partial<Pick<RepositoryKeys, "chunkIdKey">>;

export class ChunkCipher {
  readonly #keys: ChunkKeys;
  readonly #encoder: ChunkEncoder;
  /** LABEL | repository | kind | encoding | id; from kind on it is also what the key is made of. */
  readonly #binding: Buffer;
  readonly #keyInput: Buffer;

  constructor(keys: ChunkKeys, encoder = new ChunkEncoder()) {
    this.#keys = keys;
    this.#encoder = encoder;
    this.#binding = Buffer.concat([LABEL, keys.repositoryId, Buffer.alloc(2 + CHUNK_ID_BYTES)]);
    this.#keyInput = this.#binding.subarray(LABEL.length + keys.repositoryId.length);
  }

  id(kind: ChunkKind, plaintext: Uint8Array): Buffer {
    const key = this.#keys.chunkIdKey?.(kind);
    if (key === undefined) throw new Error("these keys make no ids");
    return createHmac("sha256", key).update(plaintext).digest();
  }

  /**
   * Writes the sealed chunk to `into` at `at`, and returns its length: at most plaintext.length + SEAL_BYTES. `plaintext`
   * may lie in `into`, from `at + 1` on. `onPiece` hears up to where `into` is written while that is still in the
   * processor's cache.
   */
  seal(
    kind: ChunkKind,
    id: Uint8Array,
    plaintext: Uint8Array,
    into: Uint8Array,
    at: number,
    onPiece?: (end: number) => void,
  ): number {
    const { epoch } = this.#keys;
    const frame = this.#encoder.encode(plaintext);
    const encoding = frame ? ENCODING_ZSTD : ENCODING_RAW;
    const digest = frame ? this.#digest(epoch, encoding, frame) : undefined;
    const cipher = createCipheriv("aes-256-gcm", this.#key(epoch, kind, encoding, id, digest), NONCE);
    cipher.setAAD(this.#binding);
    into[at] = encoding;
    if (digest) into.set(digest, at + 1);
    const from = at + 1 + (digest?.length ?? 0);
    const end = from + encrypt(cipher, frame ?? plaintext, into, from, onPiece);
    into.set(cipher.getAuthTag(), end);
    into.set([epoch >> 8, epoch & 0xff], end + TAG_BYTES);
    return end + TAG_BYTES + EPOCH_BYTES - at;
  }

  /**
   * The plaintext; DataError "forged" unless these are the bytes that were sealed under this kind and id. It lies in what
   * `take` gives for its length; what is in there counts only when this returns.
   */
  open(
    kind: ChunkKind,
    id: Uint8Array,
    sealed: Uint8Array,
    take: (lengthBytes: number) => Buffer = (lengthBytes) => Buffer.allocUnsafe(lengthBytes),
  ): Buffer {
    if (sealed.length < SEAL_BYTES) throw new DataError("short", "sealed chunk shorter than its seal");
    const encoding = sealed[0] ?? 0;
    if (encoding === ENCODING_RAW) {
      const plaintext = take(sealed.length - SEAL_BYTES);
      this.#decrypt(kind, id, sealed, undefined, plaintext);
      return plaintext;
    }
    if (encoding !== ENCODING_ZSTD)
      throw new DataError(
        "version",
        `chunk with encoding ${String(encoding)}, which this version does not know`,
      );
    const frameBytes = sealed.length - SEAL_BYTES - DIGEST_BYTES;
    if (frameBytes < 0) throw new DataError("short", "sealed chunk shorter than its seal");
    if (frameBytes > MAX_CHUNK_BYTES) throw new DataError("range", "compressed chunk too long");
    const digest = sealed.subarray(1, 1 + DIGEST_BYTES);
    this.#decrypt(kind, id, sealed, digest, this.#encoder.input(frameBytes));
    const decoded = this.#encoder.decode(frameBytes);
    const plaintext = take(decoded.length);
    copyBytes(decoded, plaintext, 0);
    return plaintext;
  }

  #decrypt(
    kind: ChunkKind,
    id: Uint8Array,
    sealed: Uint8Array,
    digest: Uint8Array | undefined,
    into: Uint8Array,
  ): void {
    const encoding = sealed[0] ?? 0;
    const end = sealed.length - TAG_BYTES - EPOCH_BYTES;
    const epoch = ((sealed[sealed.length - 2] ?? 0) << 8) | (sealed[sealed.length - 1] ?? 0);
    const decipher = createDecipheriv("aes-256-gcm", this.#key(epoch, kind, encoding, id, digest), NONCE);
    decipher.setAAD(this.#binding);
    decipher.setAuthTag(sealed.subarray(end, end + TAG_BYTES));
    const start = 1 + (digest?.length ?? 0);
    for (let from = start; from < end; from += PIECE_BYTES)
      copyBytes(
        decipher.update(sealed.subarray(from, Math.min(end, from + PIECE_BYTES))),
        into,
        from - start,
      );
    try {
      decipher.final();
    } catch {
      throw new DataError("forged", "sealed chunk does not verify");
    }
  }

  /** Also writes what is bound to the key. */
  #key(
    epoch: number,
    kind: ChunkKind,
    encoding: number,
    id: Uint8Array,
    digest: Uint8Array | undefined,
  ): Buffer {
    this.#keyInput[0] = kind;
    this.#keyInput[1] = encoding;
    this.#keyInput.set(id, 2);
    const hmac = createHmac("sha256", this.#keys.chunkKeyAt(epoch)).update(this.#keyInput);
    if (digest) hmac.update(digest);
    return hmac.digest();
  }

  #digest(epoch: number, encoding: number, encoded: Uint8Array): Buffer {
    return createHmac("sha256", this.#keys.chunkKeyAt(epoch))
      .update(Uint8Array.of(ENCODED, encoding))
      .update(encoded)
      .digest();
  }
}

/** Piece by piece, never ahead of what is read; returns the number of bytes. */
function encrypt(
  cipher: CipherGCM,
  bytes: Uint8Array,
  into: Uint8Array,
  at: number,
  onPiece?: (end: number) => void,
): number {
  for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
    const piece = cipher.update(bytes.subarray(from, from + PIECE_BYTES));
    copyBytes(piece, into, at + from);
    onPiece?.(at + from + piece.length);
  }
  cipher.final();
  return bytes.length;
}
