// SPDX-License-Identifier: MIT
/** A set of chunks by their numbers in the index: one bit for each, so that a million chunks take 128 KiB. */

export class EntrySet {
  readonly #bits: Uint8Array;
  #count = 0;

  /** For the numbers below `size`. */
  constructor(size: number) {
    this.#bits = new Uint8Array(Math.ceil(size / 8));
  }

  get count(): number {
    return this.#count;
  }

  has(entry: number): boolean {
    return ((this.#bits[entry >> 3] ?? 0) & (1 << (entry & 7))) !== 0;
  }

  /** False when it was there already. */
  add(entry: number): boolean {
    if (this.has(entry)) return false;
    this.#bits[entry >> 3] = (this.#bits[entry >> 3] ?? 0) | (1 << (entry & 7));
    this.#count++;
    return true;
  }

  delete(entry: number): void {
    if (!this.has(entry)) return;
    this.#bits[entry >> 3] = (this.#bits[entry >> 3] ?? 0) & ~(1 << (entry & 7));
    this.#count--;
  }
}
