// SPDX-License-Identifier: MIT
/**
 * Downloads a pack and checks everything about it: that its bytes hash to its id, that its own sealed index says what
 * the repository's says, that every chunk opens and is the one that its id names. Piece by piece, into buffers that are
 * used again: memory does not depend on the size of packs. A pack is never asked for whole, so that a device client
 * which refuses a whole blob with a wrong hash still gives the pieces that are good.
 */

import { createHash } from "node:crypto";
import { DataError } from "../../../firmware/protocol/data-error";
import { Refusal } from "../../refusal";
import type { BlobDevice } from "../blob-device";
import { type ChunkCipher, SEAL_BYTES } from "../chunk-cipher";
import type { ChunkIndex, IndexedPack } from "../chunk-index";
import { MAX_CHUNK_BYTES } from "../chunker";
import { refuseNewerVersion } from "../newer-version";
import {
  PACK_TRAILER_BYTES,
  VARIANT_BYTES,
  openIndex,
  packIndexBinding,
  readPackEpoch,
  readPackHeader,
  readPackTrailer,
} from "../pack-format";
import { PACK_HEADER_BYTES, type PackedChunk, PackedChunks } from "../packed-chunks";
import type { RepositoryKeys } from "../repository-keys";
import type { PackDamage } from "./damage";

/** A sealed chunk of the largest size fits, and so does the index of a pack with the most chunks. */
const RANGE_BYTES = MAX_CHUNK_BYTES + 64 * 1024;

interface Range {
  from: number;
  end: number;
  chunks: PackedChunk[];
}

export class PackChecker {
  receivedBytes = 0;
  readonly #keys: RepositoryKeys;
  readonly #cipher: ChunkCipher;
  readonly #index: ChunkIndex;
  readonly #onReceived: ((bytes: number) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #range = Buffer.allocUnsafeSlow(RANGE_BYTES);
  /** From the header of the pack being checked. */
  #epoch = 0;
  /** A version that is not known here, in the pack being checked; flipped bits, unless the whole pack has its hash. */
  #newer: DataError | undefined;
  readonly #plaintext = Buffer.allocUnsafeSlow(MAX_CHUNK_BYTES);

  constructor(options: {
    keys: RepositoryKeys;
    cipher: ChunkCipher;
    index: ChunkIndex;
    onReceived?: (bytes: number) => void;
    signal?: AbortSignal | undefined;
  }) {
    this.#keys = options.keys;
    this.#cipher = options.cipher;
    this.#index = options.index;
    this.#onReceived = options.onReceived;
    this.#signal = options.signal;
  }

  /** undefined: the pack is whole. Rejects for what concerns more than this pack: no connection, interrupted. */
  async check(device: BlobDevice, pack: IndexedPack): Promise<PackDamage | undefined> {
    const found = await this.#attempt(device, pack);
    // Nobody vouches for the way of a range: what is said of a pack has to hold twice.
    return found && found.kind !== "missing" ? this.#attempt(device, pack) : found;
  }

  async #attempt(device: BlobDevice, pack: IndexedPack): Promise<PackDamage | undefined> {
    const hash = createHash("sha256");
    const badChunks = new Set<number>();
    let reason: string | undefined;
    let isShort = false;
    this.#newer = undefined;
    for (const range of rangesOf(pack, this.#index.chunksOf(pack))) {
      this.#signal?.throwIfAborted();
      try {
        const bytes = await this.#get(device, pack, range);
        hash.update(bytes);
        isShort ||= bytes.length < range.end - range.from;
        for (const chunk of range.chunks)
          if (!this.#opens(chunk, bytes, range.from)) badChunks.add(chunk.offsetBytes);
        if (!isShort) reason ??= this.#structure(pack, range, bytes);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        if (error.kind === "missingBlob")
          return {
            device: device.name,
            pack,
            kind: "missing",
            reason: "it is not there",
            badChunks: undefined,
          };
        if (error.kind !== "corruptedBlob" && error.kind !== "cardFailed") throw error;
        reason ??= error.message;
        for (const chunk of range.chunks) badChunks.add(chunk.offsetBytes);
      }
    }
    if (isShort) reason = "it ends too early";
    if (Buffer.compare(hash.digest(), pack.id) !== 0) reason ??= "its bytes are not those that were stored";
    else refuseNewerVersion(this.#newer, `pack ${Buffer.from(pack.id).toString("hex").slice(0, 16)}`);
    if (reason === undefined && badChunks.size === 0) return undefined;
    const kind = isShort ? "shortened" : "damaged";
    return { device: device.name, pack, kind, reason: reason ?? "a chunk in it does not open", badChunks };
  }

  async #get(device: BlobDevice, pack: IndexedPack, { from, end }: Range): Promise<Uint8Array> {
    const bytes = await device.get(pack.id, from, end - from, this.#range);
    this.receivedBytes += bytes.length;
    this.#onReceived?.(bytes.length);
    return bytes;
  }

  #opens(chunk: PackedChunk, bytes: Uint8Array, from: number): boolean {
    const { kind, id, offsetBytes, sealedBytes } = chunk;
    const sealed = bytes.subarray(offsetBytes - from, offsetBytes - from + sealedBytes);
    if (sealed.length !== sealedBytes || sealedBytes > MAX_CHUNK_BYTES + SEAL_BYTES) return false;
    let plaintext: Uint8Array;
    try {
      plaintext = this.#cipher.open(kind, id, sealed, (length) => this.#plaintext.subarray(0, length));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      this.#note(error);
      return false;
    }
    return Buffer.compare(this.#cipher.id(kind, plaintext), id) === 0;
  }

  /** What is wrong with header or index, if this range has them. */
  #structure(pack: IndexedPack, range: Range, bytes: Uint8Array): string | undefined {
    try {
      if (range.from === 0) {
        if (readPackHeader(bytes) !== pack.stream) return "it is a pack of another stream";
        this.#epoch = readPackEpoch(bytes);
      }
      if (range.end !== pack.sizeBytes) return undefined;
      const sealedEnd = bytes.length - PACK_TRAILER_BYTES;
      if (readPackTrailer(bytes.subarray(Math.max(0, sealedEnd))) !== sealedEnd)
        return "its own index has another length";
      const binding = packIndexBinding(this.#keys.repositoryId, pack.stream);
      const own = openIndex(this.#keys.at(this.#epoch).packIndexKey, binding, bytes.subarray(0, sealedEnd));
      const known = PackedChunks.of(this.#index.chunksOf(pack)).bytes;
      return own.length === known.length + VARIANT_BYTES && own.subarray(0, known.length).equals(known)
        ? undefined
        : "its own index is not what the repository's index says";
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      this.#note(error);
      return error.message;
    }
  }

  #note(error: DataError): void {
    if (error.code === "version") this.#newer = error;
  }
}

/** The header goes with the first chunks; sealed index and trailer are the last range. */
function* rangesOf(pack: IndexedPack, chunks: readonly PackedChunk[]): Generator<Range> {
  let range: Range = { from: 0, end: PACK_HEADER_BYTES, chunks: [] };
  for (const chunk of chunks) {
    const end = chunk.offsetBytes + chunk.sealedBytes;
    if (range.chunks.length > 0 && end - range.from > MAX_CHUNK_BYTES) {
      yield range;
      range = { from: chunk.offsetBytes, end, chunks: [] };
    }
    range.chunks.push(chunk);
    range.end = end;
  }
  yield range;
  yield { from: range.end, end: pack.sizeBytes, chunks: [] };
}
