// SPDX-License-Identifier: MIT
/**
 * The XS board's one way out of the engine: `hostCall` for requests, `onHostEvent` for events. Holds one request buffer
 * for all ports; everything larger goes to Node from where it is.
 */
import { REFUSAL_SEPARATOR } from "./host-protocol";

declare global {
  /** Sends `request` and then `more`; the answer is put into `into` and counted, or returned. */
  function hostCall(request: Uint8Array, into: Uint8Array, more?: Uint8Array): number;
  function hostCall(request: Uint8Array, into?: undefined, more?: Uint8Array): ArrayBuffer;
  function hostTrace(text: string): void;
  function hostMemory(into: Float64Array | Uint8Array): void;
  var onHostEvent: (bytes: ArrayBuffer) => void;
  /** Called by the engine before it ends the machine: why, and the exception when there is one. */
  var abort: ((message: string, exception: unknown) => void) | undefined;
  interface StringConstructor {
    /** XS: text of UTF-8 bytes. */
    fromArrayBuffer(bytes: ArrayBuffer): string;
  }
}

/** The longest request without its bulk: an AEAD call's key, nonce and 256 bytes of additional data. */
const REQUEST_BYTES = 384;

export class HostLink {
  readonly #request = new Uint8Array(REQUEST_BYTES);
  readonly #view = new DataView(this.#request.buffer);
  readonly #handlers = new Map<number, (event: HostEventReader) => void>();
  #length = 0;

  constructor() {
    globalThis.onHostEvent = (bytes) => {
      const event = new HostEventReader(bytes);
      this.#handlers.get(event.kind)?.(event);
    };
  }

  /** One handler a kind of event. */
  handle(kind: number, handler: (event: HostEventReader) => void): void {
    this.#handlers.set(kind, handler);
  }

  /** Begins a request; the number calls that follow fill it. */
  start(op: number): this {
    this.#request[0] = op;
    this.#length = 1;
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  f64(value: number): this {
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  /** Names here are ASCII: paths, keys, host names. */
  ascii(text: string): this {
    for (let i = 0; i < text.length; i++) this.#request[this.#length + i] = text.charCodeAt(i);
    this.#length += text.length;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    this.#request.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** Sends it; the answer is small and a new view. */
  call(more?: Uint8Array): DataView {
    return new DataView(hostCall(this.#request.subarray(0, this.#length), undefined, more));
  }

  /** Sends it; the answer goes into `into`, the result is how many bytes it has. */
  callInto(into: Uint8Array, more?: Uint8Array): number {
    return hostCall(this.#request.subarray(0, this.#length), into, more);
  }
}

export class HostEventReader {
  readonly kind: number;
  readonly #view: DataView;
  #position = 1;

  constructor(bytes: ArrayBuffer) {
    this.#view = new DataView(bytes);
    this.kind = this.#view.getUint8(0);
  }

  u8(): number {
    return this.#view.getUint8(this.#position++);
  }

  u32(): number {
    const value = this.#view.getUint32(this.#position, true);
    this.#position += 4;
    return value;
  }

  /** The rest, or `length` bytes of it. */
  text(length = this.#view.byteLength - this.#position): string {
    const start = this.#position;
    this.#position += length;
    return String.fromArrayBuffer(this.#view.buffer.slice(start, start + length) as ArrayBuffer);
  }
}

/** Splits a refusal into code and message; the engine puts the name of its function in front. */
export function readRefusal(refusal: unknown): { code: string; message: string } {
  const text =
    refusal instanceof Error ? refusal.message.replace(/^(\(host\)|hostCall): /, "") : String(refusal);
  const at = text.indexOf(REFUSAL_SEPARATOR);
  return at < 0 ? { code: "io", message: text } : { code: text.slice(0, at), message: text.slice(at + 2) };
}
