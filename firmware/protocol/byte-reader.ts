// SPDX-License-Identifier: MIT
/** Big-endian reading that never runs past the end: every failure is a DataError. */
import { DataError } from "./data-error";

export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** A view of the next `count` bytes, valid as long as the input is. */
  take(count: number): Uint8Array {
    if (count > this.remaining)
      throw new DataError("short", `needs ${String(count)} bytes, has ${String(this.remaining)}`);
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  u8(): number {
    return this.take(1)[0] ?? 0;
  }

  u16(): number {
    return this.u8() * 0x100 + this.u8();
  }

  u32(): number {
    return this.u16() * 0x10000 + this.u16();
  }

  /** Eight bytes holding at most Number.MAX_SAFE_INTEGER. */
  u53(): number {
    const high = this.u32();
    const low = this.u32();
    if (high > 0x1fffff) throw new DataError("range", "number above 2^53 - 1");
    return high * 0x100000000 + low;
  }

  end(): void {
    if (this.remaining > 0) throw new DataError("long", `${String(this.remaining)} bytes too many`);
  }
}
