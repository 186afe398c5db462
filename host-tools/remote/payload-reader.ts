// SPDX-License-Identifier: MIT
/**
 * Puts the payloads of one channel together from the pieces in which they arrive: handshake and control payloads whole,
 * bulk straight to where it belongs.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { BULK_HEADER_BYTES, PayloadKind, readBulkHeader } from "../../firmware/protocol/session";
import type { BulkHeader } from "../../firmware/protocol/session";

export interface PayloadHandler {
  /** A handshake or control payload, or one of an unknown kind. */
  onPayload: (payload: Uint8Array) => void;
  /** A bulk frame of `bytes` begins; the answer takes them, piece by piece. DataError when nobody asked for it. */
  onBulk: (header: BulkHeader, bytes: number) => (piece: Uint8Array) => void;
}

export class PayloadReader {
  readonly #handler: PayloadHandler;
  /** Of a bulk frame that is arriving; one byte more, as a header alone is no bulk frame. */
  readonly #head = new Uint8Array(BULK_HEADER_BYTES + 1);
  /** A payload of another kind that is arriving; empty for bulk. */
  #whole = new Uint8Array(0);
  #takeBulk: (piece: Uint8Array) => void = () => undefined;

  constructor(handler: PayloadHandler) {
    this.#handler = handler;
  }

  /** The next piece of a payload, `at` bytes into it. DataError for what no honest peer sends. */
  push(piece: Uint8Array, at: number, payloadBytes: number): void {
    if (payloadBytes === 0) throw new DataError("short", "empty payload");
    if (at === 0) this.#whole = new Uint8Array(piece[0] === PayloadKind.bulk ? 0 : payloadBytes);
    if (this.#whole.length > 0) this.#pushWhole(piece, at, payloadBytes);
    else this.#pushBulk(piece, at, payloadBytes);
  }

  #pushWhole(piece: Uint8Array, at: number, payloadBytes: number): void {
    this.#whole.set(piece, at);
    if (at + piece.length === payloadBytes) this.#handler.onPayload(this.#whole);
  }

  #pushBulk(piece: Uint8Array, at: number, payloadBytes: number): void {
    if (payloadBytes <= BULK_HEADER_BYTES) throw new DataError("short", "bulk frame without bytes");
    const headBytes = Math.max(0, Math.min(BULK_HEADER_BYTES - at, piece.length));
    if (headBytes > 0) {
      this.#head.set(piece.subarray(0, headBytes), at);
      if (at + headBytes < BULK_HEADER_BYTES) return;
      this.#takeBulk = this.#handler.onBulk(readBulkHeader(this.#head), payloadBytes - BULK_HEADER_BYTES);
    }
    if (piece.length > headBytes) this.#takeBulk(piece.subarray(headBytes));
  }
}
