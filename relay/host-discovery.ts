// SPDX-License-Identifier: MIT
/** The firmware's port `Discovery` on Node: how a host node finds a relay. */
import type { Discovery, FoundRelay } from "../firmware/core/io";
import { type DiscoverOptions, discover } from "./discovery";

/** As the port promises. */
const MAX_RELAYS = 16;

export class HostDiscovery implements Discovery {
  readonly #options: Omit<DiscoverOptions, "timeoutMs" | "signal" | "onFound">;

  constructor(options: Omit<DiscoverOptions, "timeoutMs" | "signal" | "onFound"> = {}) {
    this.#options = options;
  }

  find(options: { timeoutMs: number; onFound(relay: FoundRelay): void; onDone(): void }): { close(): void } {
    const abort = new AbortController();
    let count = 0;
    // The same relay by broadcast and by mDNS counts once here, where only the place matters.
    const places = new Set<string>();
    void discover({
      ...this.#options,
      timeoutMs: options.timeoutMs,
      signal: abort.signal,
      onFound: ({ host, port, name }) => {
        const place = `${host} ${String(port)}`;
        if (abort.signal.aborted || places.has(place) || count === MAX_RELAYS) return;
        places.add(place);
        count++;
        options.onFound({ host, port, name });
      },
    }).then(() => {
      if (!abort.signal.aborted) options.onDone();
    });
    return {
      close: () => {
        abort.abort();
      },
    };
  }
}
