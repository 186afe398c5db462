// SPDX-License-Identifier: MIT
/**
 * Whether and how a chunk is compressed before it is sealed. docs/repository.md "Compression". What does not shrink is told
 * by a sample, so that it costs little and is copied nowhere.
 */

import { copyBytes } from "../copy-bytes";
import { Zstd } from "./zstd";

/** The bytes as they are. */
export const ENCODING_RAW = 0;
/** A zstd frame that tells its content size. */
export const ENCODING_ZSTD = 1;

/** A sixth smaller than on level 1 for a tenth more time; level 3 takes a third more time for another 3 %. */
const LEVEL = 2;
/** Below this the longer seal eats up most of the gain. */
const MIN_BYTES = 512;
/** A chunk of up to this size is tried as a whole; of a longer one this much first, in SAMPLE_PIECES. */
const WHOLE_BYTES = 64 * 1024;
const SAMPLE_BYTES = 16 * 1024;
const SAMPLE_PIECES = 4;
/** The share of the chunk that has to be saved: reading takes time, too. */
const MIN_GAIN = 1 / 16;
/** What the seal of a compressed chunk takes more than that of a raw one. */
export const ENCODED_EXTRA_BYTES = 32;

export class ChunkEncoder {
  readonly #zstd = new Zstd();
  readonly #level: number;

  constructor(level = LEVEL) {
    this.#level = level;
  }

  /** The zstd frame of a chunk that pays, as a view until the next call; undefined for a chunk that is to stay as it is. */
  encode(plaintext: Uint8Array): Uint8Array | undefined {
    const { length } = plaintext;
    if (length < MIN_BYTES || (length > WHOLE_BYTES && !this.#promises(plaintext))) return undefined;
    copyBytes(plaintext, this.#zstd.input(length), 0);
    const frame = this.#zstd.compress(length, this.#level);
    return pays(frame.length + ENCODED_EXTRA_BYTES, length) ? frame : undefined;
  }

  /** Room for a frame that `decode` is to read. */
  input(frameBytes: number): Uint8Array {
    return this.#zstd.input(frameBytes);
  }

  /** The chunk, as a view until the next call. DataError unless the frame in the input is whole and of a chunk's size. */
  decode(frameBytes: number): Uint8Array {
    return this.#zstd.decompress(frameBytes);
  }

  /** Pieces of it, spread from the start to the end: a head of text does not speak for a film behind it. */
  #promises(plaintext: Uint8Array): boolean {
    const sample = this.#zstd.input(SAMPLE_BYTES);
    const pieceBytes = SAMPLE_BYTES / SAMPLE_PIECES;
    for (let i = 0; i < SAMPLE_PIECES; i++) {
      const from = Math.floor(((plaintext.length - pieceBytes) * i) / (SAMPLE_PIECES - 1));
      copyBytes(plaintext.subarray(from, from + pieceBytes), sample, i * pieceBytes);
    }
    return pays(this.#zstd.compress(SAMPLE_BYTES, this.#level).length, SAMPLE_BYTES);
  }
}

function pays(encodedBytes: number, plaintextBytes: number): boolean {
  return encodedBytes <= plaintextBytes * (1 - MIN_GAIN);
}
