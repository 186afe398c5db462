// SPDX-License-Identifier: MIT
/**
 * Cuts what arrives from the relay into frames. Data payloads are passed on in the pieces in which they arrive, so
 * that bulk bytes are copied once, to where they belong; every other frame is handed over whole.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { FRAME_HEADER_BYTES, FrameType, readFrameHeader } from "../../firmware/protocol/frame";

export interface FrameHandler {
  /** A whole frame that is not data. The payload is a view, valid during the call. */
  onFrame(type: number, channel: number, payload: Uint8Array): void;
  /** The header of a data frame has arrived. */
  onDataHeader(channel: number, payloadBytes: number): void;
  /** The next piece of its payload, which starts `at` bytes into it. Called once with nothing for an empty one. */
  onData(channel: number, piece: Uint8Array, at: number, payloadBytes: number): void;
}

export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #maxPayloadBytes: number;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #isInPayload = false;
  #type = 0;
  #channel = 0;
  #payloadBytes = 0;
  #at = 0;
  #assembled = new Uint8Array(0);
  #isStopped = false;

  constructor(options: { handler: FrameHandler; maxPayloadBytes: number }) {
    this.#handler = options.handler;
    this.#maxPayloadBytes = options.maxPayloadBytes;
  }

  /** Nothing is handed over any more, not even from a push that is under way. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Throws DataError for a header that no honest peer sends, and what the handler throws. */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length && !this.#isStopped) {
      if (this.#isInPayload) {
        const end = Math.min(bytes.length, at + this.#payloadBytes - this.#at);
        this.#deliver(bytes.subarray(at, end));
        at = end;
      } else {
        at = this.#readHeader(bytes, at);
      }
    }
  }

  #readHeader(bytes: Uint8Array, start: number): number {
    let header = this.#headerBytes === 0 ? readFrameHeader(bytes, start, this.#maxPayloadBytes) : undefined;
    let at = start;
    if (header) {
      at += FRAME_HEADER_BYTES;
    } else {
      const take = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, bytes.length - at);
      this.#header.set(bytes.subarray(at, at + take), this.#headerBytes);
      this.#headerBytes += take;
      at += take;
      if (this.#headerBytes < FRAME_HEADER_BYTES) return at;
      header = readFrameHeader(this.#header, 0, this.#maxPayloadBytes);
      if (!header) throw new DataError("short", "frame: header");
      this.#headerBytes = 0;
    }
    this.#type = header.type;
    this.#channel = header.channel;
    this.#payloadBytes = header.payloadBytes;
    this.#at = 0;
    this.#isInPayload = true;
    if (header.type === FrameType.data) this.#handler.onDataHeader(header.channel, header.payloadBytes);
    if (header.payloadBytes === 0) this.#deliver(bytes.subarray(at, at));
    return at;
  }

  #deliver(piece: Uint8Array): void {
    if (this.#isStopped) return;
    const start = this.#at;
    this.#at += piece.length;
    const isWhole = this.#at === this.#payloadBytes;
    if (isWhole) this.#isInPayload = false;
    if (this.#type === FrameType.data) {
      this.#handler.onData(this.#channel, piece, start, this.#payloadBytes);
      return;
    }
    if (isWhole && start === 0) {
      this.#handler.onFrame(this.#type, this.#channel, piece);
      return;
    }
    if (start === 0) this.#assembled = new Uint8Array(this.#payloadBytes);
    this.#assembled.set(piece, start);
    if (isWhole) this.#handler.onFrame(this.#type, this.#channel, this.#assembled);
  }
}
