// SPDX-License-Identifier: MIT
/**
 * Keeps one link to a relay up: the configured one, or what discovery finds. One socket at a time; after a loss it waits
 * as `Backoff` says, after a farewell as the relay says.
 */
import { WIRE_VERSION } from "../protocol/limits";
import type { Hello } from "../protocol/link-messages";
import { attempt } from "./attempt";
import { Backoff } from "./backoff";
import type { ChannelTable } from "./channel-table";
import type { DeviceConfig, RelayAddress } from "./device-config";
import type { Ports, TimerHandle } from "./io";
import { Link } from "./link";
import { messageOf } from "./refusal";

export interface UplinkOptions {
  ports: Pick<Ports, "network" | "clock" | "timers" | "entropy" | "log" | "discovery">;
  config: DeviceConfig;
  channels: ChannelTable;
  onState(state: "offline" | "online"): void;
  /** Each time that the connection does not come about. */
  onTrouble(name: keyof typeof ADVICE): void;
}

const DISCOVERY_MS = 3000;
const MAX_CANDIDATES = 16;
/** A link that held this long was good: the next loss starts from the shortest wait. */
const STABLE_MS = 30_000;
/** The longest a relay may send a device away. */
const MAX_RETRY_MS = 10 * 60_000;

/**
 * What can be done about a connection that does not come about; said once, until another thing is wrong: the failures
 * themselves are counted by the log.
 */
const ADVICE = {
  certificate:
    "the relay is not of the authority that this device was built for, or its certificate is not valid now",
  rejected:
    "the relay refuses this device: its certificate may be expired, revoked or of another relay's owner",
  unreachable: "is the relay running, and is this its address?",
  clock: "the clock is not set, so no certificate can be judged by its dates: is there a time server?",
  relayNotFound: "is a relay running in this network, and can its members see each other?",
} as const;

export class Uplink {
  readonly #options: UplinkOptions;
  readonly #backoff: Backoff;
  #link: Link | undefined;
  #address: RelayAddress | undefined;
  #search: { close(): void } | undefined;
  #timer: TimerHandle | undefined;
  /** Relays found and not tried yet; at most MAX_CANDIDATES. */
  #candidates: RelayAddress[] = [];
  #advised: keyof typeof ADVICE | undefined;
  #isOnline = false;
  #isClosed = false;

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.ports.entropy);
    this.wait(0);
  }

  /** Where it is online. */
  get relay(): RelayAddress | undefined {
    return this.#isOnline ? this.#address : undefined;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#timer) this.#options.ports.timers.clear(this.#timer);
    this.#search?.close();
    this.dropLink();
  }

  private wait(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer = this.#options.ports.timers.set(delayMs, () => {
      this.#timer = undefined;
      this.begin();
    });
  }

  private begin(): void {
    const { config, ports } = this.#options;
    if (config.relay) this.connect(config.relay);
    else if (ports.discovery) this.discover(ports.discovery);
    else {
      ports.log.write("warn", "uplink: no relay configured and no discovery on this platform");
      this.wait(this.#backoff.nextMs());
    }
  }

  private discover(discovery: NonNullable<Ports["discovery"]>): void {
    const found: RelayAddress[] = [];
    const next = (): void => {
      this.#search = undefined;
      this.#candidates = found;
      if (found.length === 0) {
        this.#options.ports.log.write("warn", "uplink: no relay found on this network");
        this.advise("relayNotFound");
      }
      this.tryNext();
    };
    attempt(
      () => {
        this.#search = discovery.find({
          timeoutMs: DISCOVERY_MS,
          onFound: ({ host, port, name }) => {
            if (found.length < MAX_CANDIDATES) found.push({ host, port, relayName: name });
          },
          onDone: next,
        });
      },
      (error) => {
        this.#options.ports.log.write("warn", `uplink: discovery failed: ${messageOf(error)}`);
        this.wait(this.#backoff.nextMs());
      },
    );
  }

  /** An announcement proves nothing: each is tried, and TLS decides. */
  private tryNext(): void {
    const candidate = this.#candidates.shift();
    if (candidate) this.connect(candidate);
    else this.wait(this.#backoff.nextMs());
  }

  private connect(address: RelayAddress): void {
    const { ports, config, channels } = this.#options;
    const { network, clock, timers, log } = ports;
    if (clock.unixMs() === undefined) this.advise("clock");
    else if (this.#advised === "clock") this.#advised = undefined;
    let upSinceMs: number | undefined;
    const rate = (): void => {
      if (upSinceMs !== undefined && clock.monotonicMs() - upSinceMs >= STABLE_MS) this.#backoff.reset();
    };
    const where = `${address.host}:${String(address.port)}`;
    attempt(
      () => {
        const link: Link = new Link({
          network,
          clock,
          timers,
          address,
          hello: helloOf(config),
          handlers: {
            onUp: ({ relay }) => {
              upSinceMs = clock.monotonicMs();
              this.#advised = undefined;
              log.write("info", `uplink: online at ${where} (relay ${relay})`);
              channels.attach(link);
              this.setOnline(true);
            },
            onFrame: (type, channel, payload) => {
              channels.take(type, channel, payload);
            },
            onRoom: () => {
              channels.pump();
            },
            onGoAway: (retryMs) => {
              log.write("info", `uplink: the relay at ${where} says goodbye`);
              rate();
              this.dropLink();
              this.wait(Math.min(retryMs, MAX_RETRY_MS) + this.#backoff.jitterMs());
            },
            onLost: (reason, code) => {
              log.write("warn", `uplink: ${where}: ${reason}`);
              if (code && code in ADVICE && upSinceMs === undefined) this.advise(code as keyof typeof ADVICE);
              rate();
              this.dropLink();
              if (upSinceMs !== undefined) this.#candidates = [];
              if (!this.#isClosed) this.tryNext();
            },
          },
        });
        this.#link = link;
        this.#address = address;
      },
      (error) => {
        log.write("warn", `uplink: ${where}: ${messageOf(error)}`);
        this.tryNext();
      },
    );
  }

  private advise(about: keyof typeof ADVICE): void {
    // Without a clock everything else may follow from that.
    if (about !== "clock" && this.#advised === "clock") return;
    this.#options.onTrouble(about);
    if (this.#advised === about) return;
    this.#advised = about;
    this.#options.ports.log.write("warn", `uplink: ${ADVICE[about]}`);
  }

  private dropLink(): void {
    this.#link?.close();
    this.#link = undefined;
    this.#options.channels.detach();
    this.setOnline(false);
  }

  private setOnline(isOnline: boolean): void {
    if (this.#isOnline === isOnline) return;
    this.#isOnline = isOnline;
    this.#options.onState(isOnline ? "online" : "offline");
  }
}

/** How this device introduces itself on a link. */
export function helloOf({ limits, firmwareVersion }: DeviceConfig): Hello {
  return {
    minVersion: WIRE_VERSION,
    maxVersion: WIRE_VERSION,
    maxFrameBytes: limits.maxFrameBytes,
    maxChannels: limits.maxChannels,
    software: `coffer ${firmwareVersion}`,
  };
}
