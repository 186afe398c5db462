// SPDX-License-Identifier: MIT
import type { Entropy } from "../firmware/core/io";
import { SeededRandom } from "./seeded-random";

/** The entropy port for repeatable tests: whoever knows the seed knows every byte. */
export class SeededEntropy implements Entropy {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  fill(into: Uint8Array): void {
    this.#random.fill(into);
  }
}
