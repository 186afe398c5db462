// SPDX-License-Identifier: MIT
/**
 * CBOR (RFC 8949), core deterministic encoding, of what the repository's objects are made of: integers, byte strings and
 * arrays. Hand-made because a folder's list of entries is encoded for every file that is pushed; the tests hold it
 * against cborg.
 */

import type { ByteString } from "./byte-names";

const MAJOR_UNSIGNED = 0x00;
const MAJOR_NEGATIVE = 0x20;
const MAJOR_BYTES = 0x40;
const MAJOR_ARRAY = 0x80;

export class CborWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(capacityBytes = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  /** A whole number within ±(2^53 - 1). */
  int(value: number): this {
    if (!Number.isSafeInteger(value))
      throw new RangeError(`int: expected a safe integer, got ${String(value)}`);
    if (value >= 0) this.#head(MAJOR_UNSIGNED, value);
    else this.#head(MAJOR_NEGATIVE, -1 - value);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#head(MAJOR_BYTES, value.length);
    return this.raw(value);
  }

  byteString(value: ByteString): this {
    this.#head(MAJOR_BYTES, value.length);
    this.#reserve(value.length);
    this.#length += this.#bytes.write(value, this.#length, "latin1");
    return this;
  }

  /** The items follow. */
  array(count: number): this {
    this.#head(MAJOR_ARRAY, count);
    return this;
  }

  /** Something encoded already. */
  raw(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** What was written so far: a view, until more is. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, as a copy; the writer starts again. */
  take(): Buffer {
    const copy = Buffer.allocUnsafeSlow(this.#length);
    this.#bytes.copy(copy, 0, 0, this.#length);
    this.#length = 0;
    return copy;
  }

  #head(major: number, value: number): void {
    this.#reserve(9);
    const bytes = this.#bytes;
    const at = this.#length;
    if (value < 24) {
      bytes[at] = major | value;
      this.#length = at + 1;
    } else if (value < 0x100) {
      bytes[at] = major | 24;
      bytes[at + 1] = value;
      this.#length = at + 2;
    } else if (value < 0x10000) {
      bytes[at] = major | 25;
      bytes[at + 1] = value >>> 8;
      bytes[at + 2] = value;
      this.#length = at + 3;
    } else if (value < 0x100000000) {
      bytes[at] = major | 26;
      bytes.writeUInt32BE(value, at + 1);
      this.#length = at + 5;
    } else {
      bytes[at] = major | 27;
      bytes.writeUInt32BE(Math.floor(value / 0x100000000), at + 1);
      bytes.writeUInt32BE(value % 0x100000000, at + 5);
      this.#length = at + 9;
    }
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#length + count));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
