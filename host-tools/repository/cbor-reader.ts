// SPDX-License-Identifier: MIT
/**
 * Reads what CborWriter writes, and nothing else: a second encoding of the same value is refused, so that equal objects
 * have equal bytes. Total: any bytes give values or a DataError; nothing is allocated from a length that is not there.
 */

import { DataError } from "../../firmware/protocol/data-error";
import type { ByteString } from "./byte-names";

const MAX_SKIP_DEPTH = 8;

export class CborReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get offset(): number {
    return this.#at;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** A view of bytes that were read. */
  slice(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(from, to);
  }

  uint(limit: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#head(0);
    if (value > limit) throw new DataError("range", `number ${String(value)} above ${String(limit)}`);
    return value;
  }

  int(): number {
    return (this.#peek() & 0xe0) === 0x20 ? -1 - this.#head(1) : this.#head(0);
  }

  /** A view. */
  bytes(limit: number): Uint8Array {
    const length = this.#stringLength(limit);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  byteString(limit: number): ByteString {
    const length = this.#stringLength(limit);
    this.#at += length;
    return this.#bytes.toString("latin1", this.#at - length, this.#at);
  }

  /** The number of items that follow: at most `limit`, and at most as many as there are bytes. */
  array(limit: number): number {
    const count = this.#head(4);
    if (count > limit)
      throw new DataError("range", `${String(count)} items, at most ${String(limit)} expected`);
    if (count > this.#bytes.length - this.#at) throw new DataError("short", "array longer than its bytes");
    return count;
  }

  get isArray(): boolean {
    return this.#peek() >> 5 === 4;
  }

  get isBytes(): boolean {
    return this.#peek() >> 5 === 2;
  }

  /** Steps over one value of the kinds known here: what a later version may have added. */
  skip(depth = 0): void {
    const major = this.#peek() >> 5;
    if (major <= 1) this.int();
    else if (major === 2) this.bytes(this.#bytes.length);
    else if (major === 4 && depth < MAX_SKIP_DEPTH) {
      const count = this.array(this.#bytes.length);
      for (let i = 0; i < count; i++) this.skip(depth + 1);
    } else throw new DataError("type", `value of type ${String(major)}`);
  }

  end(): void {
    if (!this.isAtEnd) throw new DataError("long", `${String(this.#bytes.length - this.#at)} bytes too many`);
  }

  #stringLength(limit: number): number {
    const length = this.#head(2);
    if (length > limit)
      throw new DataError("range", `${String(length)} bytes, at most ${String(limit)} expected`);
    if (length > this.#bytes.length - this.#at)
      throw new DataError("short", "byte string longer than its bytes");
    return length;
  }

  #peek(): number {
    const first = this.#bytes[this.#at];
    if (first === undefined) throw new DataError("short", "value missing");
    return first;
  }

  #head(major: number): number {
    const first = this.#peek();
    if (first >> 5 !== major)
      throw new DataError("type", `type ${String(first >> 5)}, expected ${String(major)}`);
    this.#at++;
    const low = first & 0x1f;
    if (low < 24) return low;
    const width = low === 24 ? 1 : low === 25 ? 2 : low === 26 ? 4 : low === 27 ? 8 : 0;
    if (width === 0) throw new DataError("type", "indefinite or reserved length");
    if (this.#bytes.length - this.#at < width) throw new DataError("short", "number cut off");
    const bytes = this.#bytes;
    const at = this.#at;
    this.#at += width;
    let value: number;
    let least: number;
    if (width === 1) {
      value = bytes[at] ?? 0;
      least = 24;
    } else if (width === 2) {
      value = bytes.readUInt16BE(at);
      least = 0x100;
    } else if (width === 4) {
      value = bytes.readUInt32BE(at);
      least = 0x10000;
    } else {
      value = bytes.readUInt32BE(at) * 0x100000000 + bytes.readUInt32BE(at + 4);
      least = 0x100000000;
    }
    if (value < least) throw new DataError("range", "number longer than it needs to be");
    if (value > Number.MAX_SAFE_INTEGER) throw new DataError("range", "number above 2^53 - 1");
    return value;
  }
}
