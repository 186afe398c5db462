// SPDX-License-Identifier: MIT
/** Discovery in a simulated neighbourhood: relays that a test announces are found, in order, one a turn. */
import type { Discovery, FoundRelay, Timers } from "../firmware/core/io";

const MAX_FOUND = 16; // of the port's contract

export class SimDiscovery implements Discovery {
  /** Who answers now. */
  readonly relays: FoundRelay[] = [];
  readonly #timers: Timers;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  find(options: { timeoutMs: number; onFound(relay: FoundRelay): void; onDone(): void }): { close(): void } {
    let isOpen = true;
    const answers = this.relays.slice(0, MAX_FOUND).map((relay) =>
      this.#timers.set(0, () => {
        if (isOpen) options.onFound(relay);
      }),
    );
    const end = this.#timers.set(options.timeoutMs, () => {
      isOpen = false;
      options.onDone();
    });
    return {
      close: () => {
        isOpen = false;
        for (const timer of [...answers, end]) this.#timers.clear(timer);
      },
    };
  }
}
