// SPDX-License-Identifier: MIT
/** Buffers of one size that are used again; more than `maxSpare` unused ones are left to the garbage collector. */
export class BufferPool {
  readonly sizeBytes: number;
  readonly #maxSpare: number;
  readonly #spare: Buffer[] = [];

  constructor(options: { sizeBytes: number; maxSpare: number }) {
    this.sizeBytes = options.sizeBytes;
    this.#maxSpare = options.maxSpare;
  }

  /** What it holds is unspecified. */
  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.sizeBytes);
  }

  /** The caller must not use it any more. */
  give(buffer: Buffer): void {
    if (this.#spare.length < this.#maxSpare) this.#spare.push(buffer);
  }
}
