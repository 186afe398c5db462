// SPDX-License-Identifier: MIT
/** Writes and reads the numbers and texts of firmware/platform/xs-board/host-protocol.ts on Node's side. */

export class MessageWriter {
  #parts: Uint8Array[] = [];

  get bytes(): Uint8Array {
    return Buffer.concat(this.#parts);
  }

  u8(value: number): this {
    this.#parts.push(Uint8Array.of(value));
    return this;
  }

  u32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.#parts.push(bytes);
    return this;
  }

  f64(value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#parts.push(bytes);
    return this;
  }

  text(value: string): this {
    this.#parts.push(Buffer.from(value));
    return this;
  }
}

export function message(): MessageWriter {
  return new MessageWriter();
}

/** Trusts the firmware's side: both are built together. */
export class RequestReader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#position++);
  }

  u32(): number {
    const value = this.#bytes.readUInt32LE(this.#position);
    this.#position += 4;
    return value;
  }

  f64(): number {
    const value = this.#bytes.readDoubleLE(this.#position);
    this.#position += 8;
    return value;
  }

  part(length: number): Uint8Array {
    const part = this.#bytes.subarray(this.#position, this.#position + length);
    this.#position += length;
    return part;
  }

  rest(): Uint8Array {
    return this.part(this.#bytes.length - this.#position);
  }

  text(length = this.#bytes.length - this.#position): string {
    return Buffer.from(this.part(length)).toString();
  }
}
