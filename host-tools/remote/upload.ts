// SPDX-License-Identifier: MIT
/** The bytes of one put on their way: a cursor over the blob's parts that makes bulk frames without copying. */

import { FRAME_HEADER_BYTES, FrameType, writeFrameHeader } from "../../firmware/protocol/frame";
import { BULK_HEADER_BYTES, bulkFrameBytes, writeBulkHeader } from "../../firmware/protocol/session";
import type { Channel } from "./channel";

const HEADERS_BYTES = FRAME_HEADER_BYTES + BULK_HEADER_BYTES;
/** Frames of one upload before the next one has its turn. */
const FRAMES_AT_ONCE = 4;

export class Upload {
  readonly request: number;
  sentBytes = 0;
  readonly #parts: readonly Uint8Array[];
  readonly #sizeBytes: number;
  readonly #onSent: (bytes: number) => void;
  #offsetBytes: number;
  #part = 0;
  #partOffset = 0;

  /** `offsetBytes` (at most `sizeBytes`) is where the device goes on from. */
  constructor(options: {
    request: number;
    parts: readonly Uint8Array[];
    sizeBytes: number;
    offsetBytes: number;
    onSent: (bytes: number) => void;
  }) {
    this.request = options.request;
    this.#parts = options.parts;
    this.#sizeBytes = options.sizeBytes;
    this.#offsetBytes = options.offsetBytes;
    this.#onSent = options.onSent;
    this.#partOffset = options.offsetBytes;
    this.#skipFinishedParts();
  }

  get isDone(): boolean {
    return this.#offsetBytes === this.#sizeBytes;
  }

  /** Writes a few frames as far as credit goes. True when more could go at once. */
  writeTo(channel: Channel): boolean {
    const headers = Buffer.allocUnsafe(FRAMES_AT_ONCE * HEADERS_BYTES);
    const before = this.sentBytes;
    let isOpen = true;
    for (let i = 0; i < FRAMES_AT_ONCE && isOpen && !this.isDone; i++) {
      isOpen = this.#writeFrame(channel, headers.subarray(i * HEADERS_BYTES, (i + 1) * HEADERS_BYTES));
    }
    if (this.sentBytes > before) this.#onSent(this.sentBytes - before);
    return isOpen && !this.isDone;
  }

  #writeFrame(channel: Channel, header: Buffer): boolean {
    const rest = this.#sizeBytes - this.#offsetBytes;
    let bytes = Math.min(bulkFrameBytes(channel.maxPayloadBytes) - HEADERS_BYTES, rest);
    if (channel.creditBytes < HEADERS_BYTES + bytes) {
      // A quarter of the window comes back sooner or later: waiting for that avoids tiny frames at its end.
      const worthWhile = Math.min(HEADERS_BYTES + bytes, channel.initialCreditBytes >> 2);
      if (channel.creditBytes < Math.max(worthWhile, HEADERS_BYTES + 1)) return false;
      bytes = channel.creditBytes - HEADERS_BYTES;
    }
    writeFrameHeader(header, 0, {
      type: FrameType.data,
      channel: channel.id,
      payloadBytes: BULK_HEADER_BYTES + bytes,
    });
    writeBulkHeader(header, FRAME_HEADER_BYTES, { request: this.request, offsetBytes: this.#offsetBytes });
    channel.writeFrame([header, ...this.#take(bytes)], HEADERS_BYTES + bytes);
    this.sentBytes += bytes;
    return true;
  }

  #take(count: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    let rest = count;
    while (rest > 0) {
      const part = this.#parts[this.#part];
      if (!part) throw new RangeError("upload: parts are shorter than the blob");
      const piece = part.subarray(this.#partOffset, this.#partOffset + rest);
      pieces.push(piece);
      rest -= piece.length;
      this.#partOffset += piece.length;
      this.#skipFinishedParts();
    }
    this.#offsetBytes += count;
    return pieces;
  }

  #skipFinishedParts(): void {
    for (;;) {
      const part = this.#parts[this.#part];
      if (!part || this.#partOffset < part.length) return;
      this.#partOffset -= part.length;
      this.#part++;
    }
  }
}
