// SPDX-License-Identifier: MIT
/** Repeatable randomness for tests: the same seed gives the same numbers on every machine (sfc32, public domain). */
export class SeededRandom {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    this.#c = 0x9e3779b9 | 0;
    for (let i = 0; i < 12; i++) this.uint32(); // as its author advises, so that near seeds differ
  }

  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** 0 .. limit - 1. */
  below(limit: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * limit);
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }

  fill(into: Uint8Array): void {
    let at = 0;
    for (; at + 4 <= into.length; at += 4) {
      const value = this.uint32();
      into[at] = value;
      into[at + 1] = value >>> 8;
      into[at + 2] = value >>> 16;
      into[at + 3] = value >>> 24;
    }
    for (; at < into.length; at++) into[at] = this.uint32();
  }
}
