// SPDX-License-Identifier: MIT
/**
 * How long to wait before the next attempt: exponential with full jitter, so that a relay that comes back is not met by
 * all devices at once ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 */
import type { Entropy } from "./io";

const FIRST_MS = 1000;
const LONGEST_MS = 60_000;

export class Backoff {
  readonly #entropy: Entropy;
  #attempts = 0;

  constructor(entropy: Entropy) {
    this.#entropy = entropy;
  }

  /** Uniform in 0..min(60 s, 1 s * 2^attempts). */
  nextMs(): number {
    const limitMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#attempts, 16));
    this.#attempts++;
    return Math.floor(this.#fraction() * (limitMs + 1));
  }

  /** Jitter alone: uniform in 0..1 s. */
  jitterMs(): number {
    return Math.floor(this.#fraction() * (FIRST_MS + 1));
  }

  reset(): void {
    this.#attempts = 0;
  }

  #fraction(): number {
    const bytes = new Uint8Array(4);
    this.#entropy.fill(bytes);
    let value = 0;
    for (const byte of bytes) value = value * 256 + byte;
    return value / 2 ** 32;
  }
}
