// SPDX-License-Identifier: MIT
/**
 * The discovery port over the SDK's datagram socket and, where a platform has multicast, its mDNS. SPEC.md "Discovery". What is
 * found is a place to try: anybody in the network can say anything here, so everything is bounded and nothing is believed.
 *
 * RAM, for as long as a search lasts: two sockets, at most MAX_FOUND places, and what mDNS makes of MAX_DATAGRAMS packets.
 */
import type { Discovery, Entropy, FoundRelay, TimerHandle, Timers } from "../../core/io";
import {
  DISCOVERY_NONCE_BYTES,
  DISCOVERY_PORT,
  decodeDiscoveryAnswer,
  encodeDiscoveryRequest,
} from "../../protocol/discovery";
import { MAX_NAME_BYTES } from "../../protocol/limits";
import { isEqual } from "../../protocol/session";
import { type Datagram, FilteredUdp, type UdpClass } from "./filtered-udp";
import { isCofferAnswer } from "./mdns-filter";
import { LOWER_AND_DIGITS, isMadeOf, isNumericAddress } from "./plain-names";

/** What is used of the SDK's `embedded:network/dnssd`. */
export type DnssdClass = new (options: {
  socket: { io: typeof FilteredUdp; udp: UdpClass; accept(datagram: Datagram): boolean };
}) => {
  discover(options: { serviceType: string; onFound(service: MdnsService): void }): { close(): void };
  close(): void;
};

export interface MdnsService {
  address: string;
  port: number;
  txt?: Map<string, string | undefined>;
}

export interface ModdableDiscoveryOptions {
  udp: UdpClass;
  /** Absent where there is no multicast. */
  dnssd?: DnssdClass;
  /** Addresses that are asked, of broadcast or of a computer. */
  targets: readonly string[];
  port?: number;
  entropy: Entropy;
  timers: Timers;
}

interface SearchOptions {
  timeoutMs: number;
  onFound(relay: FoundRelay): void;
  onDone(): void;
}

/** Of the port's contract. */
const MAX_FOUND = 16;
/** Of each socket, taken in one search; more are dropped. */
const MAX_DATAGRAMS = 32;
/** A datagram can get lost: how often the question is asked. The SDK's mDNS asks as often. */
const ASKS = 3;
const SERVICE_TYPE = "_coffer._tcp";
const MDNS_VERSION = "1";
const NAME_CHARACTERS = `${LOWER_AND_DIGITS}-`;

export class ModdableDiscovery implements Discovery {
  readonly #options: ModdableDiscoveryOptions;

  constructor(options: ModdableDiscoveryOptions) {
    this.#options = options;
  }

  /** Throws when neither way can be opened. */
  find(options: SearchOptions): { close(): void } {
    return new Search(this.#options, options);
  }
}

class Search {
  readonly #own: ModdableDiscoveryOptions;
  readonly #options: SearchOptions;
  readonly #nonce = new Uint8Array(DISCOVERY_NONCE_BYTES);
  readonly #places: string[] = [];
  /** Everything that is to be closed. */
  readonly #open: { close(): void }[] = [];
  #socket: FilteredUdp | undefined;
  #asking: TimerHandle | undefined;
  readonly #end: TimerHandle;

  constructor(own: ModdableDiscoveryOptions, options: SearchOptions) {
    this.#own = own;
    this.#options = options;
    own.entropy.fill(this.#nonce);
    let failure = this.#attempt(() => {
      this.#openBroadcast();
    });
    const { dnssd } = own;
    if (dnssd)
      failure = this.#attempt(() => {
        this.#openMdns(dnssd);
      });
    if (this.#open.length === 0) throw new Error(`no datagram socket can be opened (${String(failure)})`);
    this.#ask(ASKS);
    this.#end = own.timers.set(options.timeoutMs, () => {
      this.close();
      options.onDone();
    });
  }

  close(): void {
    const { timers } = this.#own;
    timers.clear(this.#end);
    if (this.#asking) timers.clear(this.#asking);
    // mDNS last opened, first closed: a browser before its socket.
    for (let part = this.#open.pop(); part; part = this.#open.pop()) {
      const closing = part;
      this.#attempt(() => {
        closing.close();
      });
    }
  }

  #openBroadcast(): void {
    const accept = this.#budget(() => true);
    const onDatagram = (datagram: Datagram): void => {
      const { nonce, port, name } = decodeDiscoveryAnswer(new Uint8Array(datagram));
      if (isEqual(nonce, this.#nonce)) this.#found(datagram.address, port, name);
    };
    this.#socket = new FilteredUdp({
      udp: this.#own.udp,
      accept,
      onReadable() {
        const datagram = this.read();
        if (datagram) onDatagram(datagram);
      },
    });
    this.#open.push(this.#socket);
  }

  #openMdns(Dnssd: DnssdClass): void {
    let source = "";
    const isGood = this.#budget((datagram) => isCofferAnswer(new Uint8Array(datagram)));
    const dnssd = new Dnssd({
      socket: {
        io: FilteredUdp,
        udp: this.#own.udp,
        accept: (datagram) => {
          source = datagram.address;
          return isGood(datagram);
        },
      },
    });
    this.#open.push(dnssd);
    this.#open.push(
      dnssd.discover({
        serviceType: SERVICE_TYPE,
        onFound: ({ address, port, txt }) => {
          const name = txt?.get("name");
          if (txt?.get("v") !== MDNS_VERSION || name === undefined) return;
          // A computer announces the addresses of all its networks: the one it was heard from can be reached.
          this.#found(source, port, name);
          this.#found(address, port, name);
        },
      }),
    );
  }

  /** `accept`, until it was true for MAX_DATAGRAMS. */
  #budget(accept: (datagram: Datagram) => boolean): (datagram: Datagram) => boolean {
    let left = MAX_DATAGRAMS;
    return (datagram) => left > 0 && accept(datagram) && left-- > 0;
  }

  #ask(left: number): void {
    this.#asking = undefined;
    const { targets, port = DISCOVERY_PORT, timers } = this.#own;
    const request = encodeDiscoveryRequest(this.#nonce);
    // Without a network now, perhaps there is one with the next question.
    for (const target of targets) this.#attempt(() => this.#socket?.write(request, target, port));
    if (left > 1)
      this.#asking = timers.set(this.#options.timeoutMs / ASKS, () => {
        this.#ask(left - 1);
      });
  }

  #found(host: string, port: number, name: string): void {
    if (this.#open.length === 0 || this.#places.length >= MAX_FOUND) return;
    if (!isNumericAddress(host) || !(port > 0 && port < 65536)) return;
    if (!isMadeOf(name, NAME_CHARACTERS, MAX_NAME_BYTES)) return;
    const place = `${host} ${port} ${name}`;
    if (this.#places.includes(place)) return;
    this.#places.push(place);
    this.#options.onFound({ host, port, name });
  }

  /** What the step threw. */
  #attempt(step: () => void): unknown {
    try {
      step();
      return undefined;
    } catch (error) {
      return error;
    }
  }
}
