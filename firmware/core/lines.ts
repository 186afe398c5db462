// SPDX-License-Identifier: MIT
/**
 * The device's ends of lines: links that lead to a client instead of a relay, which plays the relay's part in them.
 * SPEC.md "Lines". Only hosts whose network knows lines have any.
 *
 * RAM: at most MAX_LINES links, each with the channels that the limits allow one client.
 */
import type { Hello } from "../protocol/link-messages";
import { FailureCode } from "../protocol/verbs";
import type { ChannelTable } from "./channel-table";
import type { RelayAddress } from "./device-config";
import type { Clock, LineOptions, Log, Network, Timers } from "./io";
import { Link } from "./link";
import { Refusal } from "./refusal";

export interface LinesOptions {
  ports: { network: Required<Network>; clock: Clock; timers: Timers; log: Log };
  hello: Hello;
  /** Where the uplink is connected to now. */
  relay(): RelayAddress | undefined;
  newTable: () => ChannelTable;
}

/** A client has one; those that have just gone are not missed at once. */
const MAX_LINES = 64;

export class Lines {
  readonly #options: LinesOptions;
  readonly #ends = new Map<Link, ChannelTable>();

  constructor(options: LinesOptions) {
    this.#options = options;
  }

  get channelCount(): number {
    let count = 0;
    for (const table of this.#ends.values()) count += table.count;
    return count;
  }

  /** Comes to the line of `ticket`. Throws Refusal when there is no room. */
  join(wanted: Pick<LineOptions, "ticket" | "key" | "isServer">): void {
    const { ports, hello, newTable } = this.#options;
    const { network, clock, timers, log } = ports;
    const address = this.#options.relay();
    if (!address) throw new Refusal(FailureCode.tooMany, "this device is not connected to a relay");
    if (this.#ends.size >= MAX_LINES) throw new Refusal(FailureCode.tooMany, "too many lines at once");
    const table = newTable();
    const link: Link = new Link({
      network: { connect: (options) => network.join({ ...options, ...wanted }) },
      clock,
      timers,
      address,
      hello,
      handlers: {
        onUp: () => {
          table.attach(link);
        },
        onFrame: (type, channel, payload) => {
          table.take(type, channel, payload);
        },
        onRoom: () => {
          table.pump();
        },
        onGoAway: () => {
          this.drop(link, table);
        },
        onLost: (reason) => {
          log.write("info", `line: ${reason}`);
          this.drop(link, table);
        },
      },
    });
    this.#ends.set(link, table);
  }

  close(): void {
    for (const [link, table] of this.#ends) this.drop(link, table);
  }

  private drop(link: Link, table: ChannelTable): void {
    this.#ends.delete(link);
    link.close();
    table.detach();
  }
}
