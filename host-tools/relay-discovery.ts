// SPDX-License-Identifier: MIT
/** The firmware's discovery port (firmware/core/io.ts) over the local network of this computer. */

import type { Discovery, FoundRelay } from "../firmware/core/io";

/** As the port promises. */
const maxFound = 16;

export class RelayDiscovery implements Discovery {
  find(options: { timeoutMs: number; onFound(relay: FoundRelay): void; onDone(): void }): { close(): void } {
    const stop = new AbortController();
    let found = 0;
    const search = async (): Promise<void> => {
      const { discover } = await import("../relay/discovery");
      await discover({
        timeoutMs: options.timeoutMs,
        signal: stop.signal,
        onFound: ({ host, port, name }) => {
          found += 1;
          if (found <= maxFound && !stop.signal.aborted) options.onFound({ host, port, name });
        },
      });
    };
    const end = (): void => {
      if (!stop.signal.aborted) options.onDone();
    };
    search().then(end, end);
    return {
      close: () => {
        stop.abort();
      },
    };
  }
}
