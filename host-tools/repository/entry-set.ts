// SPDX-License-Identifier: MIT
/** A set of small numbers, those of chunks or packs in the index: one bit for each, so that a million take 128 KiB. */

export class EntrySet {
  #bits: Uint8Array;
  #count = 0;

  /** For the numbers below `size`; it grows with larger ones. */
  constructor(size = 0) {
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
    if (entry >> 3 >= this.#bits.length) {
      const bits = new Uint8Array(Math.max(64, 2 * (entry >> 3)));
      bits.set(this.#bits);
      this.#bits = bits;
    }
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
