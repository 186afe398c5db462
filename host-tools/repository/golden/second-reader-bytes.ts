// SPDX-License-Identifier: MIT
// What the second reader builds on: the notation of docs/repository.md ("HMAC", "GCM", "|"), a cursor over bytes, and
// checked access to decoded CBOR. Everything here throws `Refused` for bytes that are not as the document says.
import { createDecipheriv, createHash, createHmac, timingSafeEqual } from "node:crypto";
import { decode } from "cborg";

/** Why the second reader does not go on. */
export type Reason = "damaged" | "missing" | "newerVersion" | "secret";

export class Refused extends Error {
  constructor(
    readonly reason: Reason,
    message: string,
  ) {
    super(message);
  }
}

export function check(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Refused("damaged", message);
}

export function checkVersion(found: unknown, known: number, what: string): void {
  if (found !== known) throw new Refused("newerVersion", `${what} of version ${String(found)}`);
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
export const sha256 = (...parts: Uint8Array[]): Buffer =>
  createHash("sha256").update(Buffer.concat(parts)).digest();
export const hmac = (key: Uint8Array | string, ...parts: Uint8Array[]): Buffer =>
  createHmac("sha256", key).update(Buffer.concat(parts)).digest();
export const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b);

/** Bytes of a mixture of texts, bytes and single bytes, joined as "|" joins them. */
export const join = (...parts: (Uint8Array | string | number)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part))));

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** Opens what `GCM(key, nonce 0, additional, plaintext)` sealed; undefined when the tag does not verify. */
export function openGcm(key: Uint8Array, additional: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < 16) return undefined;
  const cipher = createDecipheriv("aes-256-gcm", key, Buffer.alloc(12)).setAAD(additional);
  cipher.setAuthTag(sealed.subarray(-16));
  try {
    return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
  } catch {
    return undefined;
  }
}

/** Takes fields off the front of some bytes; asking for more than there is refuses them. */
export class Cursor {
  #at = 0;

  constructor(
    readonly bytes: Buffer,
    readonly what: string,
  ) {}

  get offset(): number {
    return this.#at;
  }

  take(length: number): Buffer {
    check(this.#at + length <= this.bytes.length, `${this.what} is too short`);
    this.#at += length;
    return this.bytes.subarray(this.#at - length, this.#at);
  }

  u8 = (): number => this.take(1).readUInt8();
  u16 = (): number => this.take(2).readUInt16BE();
  u32 = (): number => this.take(4).readUInt32BE();
  u64 = (): number => Number(this.take(8).readBigUInt64BE());
  rest = (): Buffer => this.take(this.bytes.length - this.#at);

  end(): void {
    check(this.#at === this.bytes.length, `${this.what} is too long`);
  }
}

export function decodeCbor(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, { strict: true, allowIndefinite: false, rejectDuplicateMapKeys: true }) as unknown;
  } catch (error) {
    throw new Refused("damaged", `CBOR: ${String(error)}`);
  }
}

export function asBytes(value: unknown, length?: number): Buffer {
  check(value instanceof Uint8Array, "a byte string is missing");
  check(
    length === undefined || value.length === length,
    `expected ${String(length)} bytes, got ${value.length}`,
  );
  return Buffer.from(value);
}

export function asNumber(value: unknown): number {
  check(typeof value === "number" && Number.isSafeInteger(value), "a number is missing");
  return value;
}

export function asText(value: unknown): string {
  check(typeof value === "string", "a text is missing");
  return value;
}

export function asArray(value: unknown): readonly unknown[] {
  check(Array.isArray(value), "an array is missing");
  return value;
}

export function asMap(value: unknown): Readonly<Record<string, unknown>> {
  check(typeof value === "object" && value !== null && !Array.isArray(value), "a map is missing");
  return value as Readonly<Record<string, unknown>>;
}
