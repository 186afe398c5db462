// SPDX-License-Identifier: MIT
/**
 * A window on a file in the chunker's memory: yields the next chunk or hole as soon as enough has been read. Holes are
 * runs of zero blocks, aligned in the file: Node has no SEEK_HOLE, so they are found by looking.
 */

import { type Chunker, MAX_CHUNK_BYTES } from "./chunker";

export const HOLE_BLOCK_BYTES = 64 * 1024;
/** Room for a chunk that is not complete yet, the read that completes it and one ahead, and some to spare. */
export const WINDOW_BYTES = 12 * 1024 * 1024;
export const READ_BYTES = 2 * 1024 * 1024;

const zeros = Buffer.alloc(HOLE_BLOCK_BYTES);

/** `lengthBytes` from the window's start: a chunk, or zeros that need not be stored. */
export interface Piece {
  start: number;
  lengthBytes: number;
  isHole: boolean;
}

export class ChunkWindow {
  readonly bytes: Buffer;
  readonly #chunker: Chunker;
  /** Position in the file of the window's first byte. */
  #base = 0;
  #start = 0;
  #fill = 0;
  /** Up to here no block of zeros begins. */
  #checked = 0;
  #zeroAt: number | undefined;
  isEnd = false;

  constructor(chunker: Chunker) {
    this.#chunker = chunker;
    this.bytes = Buffer.from(chunker.bytes.buffer, chunker.bytes.byteOffset, chunker.bytes.length);
  }

  /** Starts over at a position of a file. */
  reset(offsetBytes: number): void {
    this.#base = offsetBytes;
    this.#start = 0;
    this.#fill = 0;
    this.#checked = (HOLE_BLOCK_BYTES - (offsetBytes % HOLE_BLOCK_BYTES)) % HOLE_BLOCK_BYTES;
    this.#zeroAt = undefined;
    this.isEnd = false;
  }

  /** Where the next bytes of the file go. */
  get fill(): number {
    return this.#fill;
  }

  get fileOffset(): number {
    return this.#base + this.#fill;
  }

  /** `count` bytes were put at `fill`. */
  advance(count: number): void {
    this.#fill += count;
  }

  /** Makes room for the next read. Pieces given before are gone. Not while a read is under way. */
  makeRoom(): void {
    if (this.bytes.length - this.#fill >= READ_BYTES) return;
    this.bytes.copyWithin(0, this.#start, this.#fill);
    this.#base += this.#start;
    this.#fill -= this.#start;
    this.#checked -= this.#start;
    if (this.#zeroAt !== undefined) this.#zeroAt -= this.#start;
    this.#start = 0;
  }

  /** The next piece; undefined when more must be read, or nothing is left at the end. */
  next(): Piece | undefined {
    this.#findZeros();
    if (this.#zeroAt === this.#start) return this.#takeHole();
    const isLast = this.#zeroAt !== undefined || this.isEnd;
    const limit = this.#zeroAt ?? (this.isEnd ? this.#fill : Math.min(this.#checked, this.#fill));
    if (limit <= this.#start) return undefined;
    const end = this.#chunker.cut(this.#start, limit, isLast);
    if (end === undefined) return undefined;
    return this.#take(end, false);
  }

  #findZeros(): void {
    const horizon = this.#start + MAX_CHUNK_BYTES + HOLE_BLOCK_BYTES;
    while (
      this.#zeroAt === undefined &&
      this.#checked < horizon &&
      this.#checked + HOLE_BLOCK_BYTES <= this.#fill
    ) {
      if (this.#isZero(this.#checked)) this.#zeroAt = this.#checked;
      else this.#checked += HOLE_BLOCK_BYTES;
    }
  }

  #takeHole(): Piece {
    let end = this.#start + HOLE_BLOCK_BYTES;
    while (end + HOLE_BLOCK_BYTES <= this.#fill && this.#isZero(end)) end += HOLE_BLOCK_BYTES;
    this.#zeroAt = undefined;
    this.#checked = end;
    return this.#take(end, true);
  }

  #take(end: number, isHole: boolean): Piece {
    const start = this.#start;
    this.#start = end;
    return { start, lengthBytes: end - start, isHole };
  }

  #isZero(at: number): boolean {
    const { bytes } = this;
    if (bytes[at] !== 0 || bytes[at + 4099] !== 0 || bytes[at + 40961] !== 0) return false;
    return zeros.compare(bytes, at, at + HOLE_BLOCK_BYTES) === 0;
  }
}
