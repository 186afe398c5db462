// SPDX-License-Identifier: MIT
/**
 * What clusters hold that were allocated and never written: noise, zeros, or what a removed file left - the last is the
 * dangerous one, for it looks valid. The same seed and history give the same bytes.
 */
import { SeededRandom } from "./seeded-random";

/** The unit that a card writes, and that a power cut tears. */
export const SECTOR_BYTES = 512;

/** Sectors of removed files that are remembered. */
const MAX_REMEMBERED = 64;

export class StaleClusters {
  readonly #seed: number;
  readonly #remembered: Uint8Array[] = [];
  #next = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  remember(sector: Uint8Array): void {
    this.#remembered[this.#next] = sector.slice();
    this.#next = (this.#next + 1) % MAX_REMEMBERED;
  }

  /** `into` lies inside one sector of the file, which starts at `position`. */
  fill(into: Uint8Array, file: number, position: number): void {
    const sector = Math.floor(position / SECTOR_BYTES);
    const random = new SeededRandom(this.#seed + file * 2 ** 20 + sector);
    const kind = random.below(4);
    const offset = position % SECTOR_BYTES;
    const remembered = this.#remembered[random.below(MAX_REMEMBERED)];
    if (kind === 0) {
      into.fill(0);
    } else if (kind === 1 && remembered !== undefined) {
      into.set(remembered.subarray(offset, offset + into.length));
    } else {
      const noise = new Uint8Array(SECTOR_BYTES);
      random.fill(noise);
      into.set(noise.subarray(offset, offset + into.length));
    }
  }
}
