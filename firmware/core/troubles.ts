// SPDX-License-Identifier: MIT
/**
 * What kept the device from its relay, for a client to ask once it is reached (SPEC.md "troubles"): a wrong Wi-Fi password, a clock
 * that nobody sets, certificates that do not fit. What can only be put right with another image is over only after a restart, so
 * which troubles there were stays in flash until a client was told; how often, and when last, is known of this start.
 *
 * Wear: two bytes when a trouble is new, and when a client was told of one: a client that asks again and again of a device that fails
 * again and again is the worst, and each such round takes a connection.
 */
import { Trouble, type TroubleEntry } from "../protocol/trouble";
import type { Clock, Preferences } from "./io";

/** u16, bit n: Trouble n. */
const KEY = "troubles";
const MAX_CODE = 15;
const MAX_COUNT = 0xffff;

export interface TroublesOptions {
  preferences: Preferences;
  clock: Clock;
}

export class Troubles {
  readonly #options: TroublesOptions;
  /** Of starts before this one. */
  readonly #earlier: number;
  /** In flash now. */
  #kept: number;
  /** Of this start: for each code how often, and the uptime of the last in seconds. */
  readonly #seen = new Uint32Array(2 * (MAX_CODE + 1));

  constructor(options: TroublesOptions) {
    this.#options = options;
    this.#earlier = this.#kept = readBits(options.preferences);
  }

  note(name: keyof typeof Trouble): void {
    const code = Trouble[name];
    this.#seen[2 * code] = Math.min(MAX_COUNT, (this.#seen[2 * code] ?? 0) + 1);
    this.#seen[2 * code + 1] = Math.floor(this.#options.clock.monotonicMs() / 1000);
    this.keep(this.#kept | (1 << code));
  }

  /** For a client, which counts as told. */
  tell(): TroubleEntry[] {
    const entries: TroubleEntry[] = [];
    for (let code = 1; code <= MAX_CODE; code++) {
      const count = this.#seen[2 * code] ?? 0;
      const wasEarlier = (this.#earlier & (1 << code)) !== 0;
      if (count > 0 || wasEarlier)
        entries.push({ code, wasEarlier, count, lastSeconds: this.#seen[2 * code + 1] ?? 0 });
    }
    this.keep(0);
    return entries;
  }

  private keep(bits: number): void {
    if (bits === this.#kept) return;
    this.#kept = bits;
    try {
      this.#options.preferences.set(KEY, Uint8Array.of(bits >> 8, bits & 255));
    } catch {
      // Telling is not worth a device.
    }
  }
}

function readBits(preferences: Preferences): number {
  try {
    const [high = 0, low = 0] = preferences.get(KEY) ?? [];
    return high * 256 + low;
  } catch {
    return 0;
  }
}
