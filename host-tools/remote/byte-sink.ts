// SPDX-License-Identifier: MIT
/**
 * Collects the bulk of an answer, over several attempts if need be. Room for what was asked for is made at once up
 * to 16 MiB; beyond that it grows only as bytes arrive, so that a request for "everything" costs what there is.
 */
import { copyBytes } from "../copy-bytes";
import type { BulkSink } from "./session";

const EAGER_BYTES = 16 * 1024 * 1024;

export class ByteSink {
  readonly limitBytes: number;
  #bytes: Uint8Array;
  #length = 0;

  /** `into`: used for what arrives, as long as it fits in. */
  constructor(limitBytes: number, into?: Uint8Array) {
    this.limitBytes = limitBytes;
    this.#bytes = into ?? Buffer.allocUnsafeSlow(Math.min(limitBytes, EAGER_BYTES));
  }

  get receivedBytes(): number {
    return this.#length;
  }

  /** What has arrived: a view. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  reset(): void {
    this.#length = 0;
  }

  /** One attempt: counts from 0, goes on where the last one stopped. */
  startAttempt(): BulkSink {
    const before = this.#length;
    const received = (): number => this.#length - before;
    return {
      limitBytes: this.limitBytes - before,
      get receivedBytes() {
        return received();
      },
      write: (piece) => {
        this.#append(piece);
      },
    };
  }

  #append(piece: Uint8Array): void {
    const needed = this.#length + piece.length;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.min(this.limitBytes, Math.max(needed, 2 * this.#bytes.length)),
      );
      larger.set(this.bytes);
      this.#bytes = larger;
    }
    copyBytes(piece, this.#bytes, this.#length);
    this.#length = needed;
  }
}
