// SPDX-License-Identifier: MIT
/** Big-endian writing into a buffer of a known size; running over it is the caller's mistake (RangeError). */

export class ByteWriter {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(into: Uint8Array) {
    this.#bytes = into;
  }

  get length(): number {
    return this.#at;
  }

  put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  u8(value: number): void {
    this.#unsigned(value, 1);
  }

  u16(value: number): void {
    this.#unsigned(value, 2);
  }

  u32(value: number): void {
    this.#unsigned(value, 4);
  }

  u53(value: number): void {
    this.#unsigned(value, 8);
  }

  #unsigned(value: number, size: number): void {
    const limit = size === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * size) - 1;
    if (!Number.isInteger(value) || value < 0 || value > limit) {
      throw new RangeError(`number: expected 0..${String(limit)}, got ${String(value)}`);
    }
    if (this.#at + size > this.#bytes.length) throw new RangeError("buffer: too small");
    let rest = value;
    for (let i = this.#at + size - 1; i >= this.#at; i--) {
      this.#bytes[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    this.#at += size;
  }
}
