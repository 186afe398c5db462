// SPDX-License-Identifier: MIT
/** The device: card, channels and uplink put together. Nothing it is called back with can end it. */
import {
  MAX_CHANNELS,
  MAX_FRAME_BYTES,
  MAX_LISTED_BLOBS,
  MAX_LISTED_LINES,
  MAX_LOGS,
  MAX_PAIRINGS,
  MAX_REQUESTS,
  MAX_WINDOW_BYTES,
  MIN_MAX_FRAME_BYTES,
} from "../protocol/limits";
import { SECTOR_BYTES } from "../protocol/card-format";
import { Card } from "./card";
import { ChannelTable } from "./channel-table";
import type { DeviceConfig, RelayAddress } from "./device-config";
import { DeviceLog, LEAST_LOG_BYTES } from "./device-log";
import type { Ports, TimerHandle } from "./io";
import { Lines } from "./lines";
import { DeviceSession, pairingsOf } from "./session";
import { FAILED_STARTS, StartRecord } from "./start-record";
import { StartWatch } from "./start-watch";
import { deviceHealth, deviceStatus } from "./status";
import { Troubles } from "./troubles";
import { Uplink, helloOf } from "./uplink";
import type { VerbContext } from "./verb";

export interface DeviceOptions extends Ports {
  config: DeviceConfig;
  /** Which host the firmware runs on: "esp32", "simulator", "xs-board", "node". */
  host: string;
  /** Of a platform that has had its own before there was a device. */
  troubles?: Troubles;
  onState?(state: "offline" | "online"): void;
}

/** A card that takes longer to open than this does not keep the device from the network. */
const CARD_PATIENCE_MS = 20_000;
/**
 * In safe mode, for each start beyond the one that called for it, twice as long: a device whose least fails too does not
 * wear out its flash, nor its relay.
 */
const SAFE_PAUSE_MS = 5000;
const LONGEST_PAUSE_MS = 10 * 60_000;

export class Device {
  readonly #options: DeviceOptions;
  readonly #card: Card;
  readonly #channels: ChannelTable;
  readonly #lines: Lines | undefined;
  readonly #watch: StartWatch;
  readonly #troubles: Troubles;
  readonly #patience: TimerHandle;
  #uplink: Uplink | undefined;
  #isClosed = false;

  constructor(given: DeviceOptions) {
    const { config, host, clock } = given;
    const { limits } = config;
    judge(config);
    // A platform may have begun one for what it says before.
    const log =
      given.log instanceof DeviceLog
        ? given.log
        : new DeviceLog({ clock, log: given.log, keptBytes: limits.logBytes });
    const troubles = given.troubles ?? new Troubles({ preferences: given.preferences, clock });
    const options = { ...given, log };
    const starts = new StartRecord(options.preferences, options.reset.reason);
    announce(options, starts);
    const pairings = pairingsOf(options.crypto, config.pairings);
    const { isSafe } = starts;
    // Online when the card is open, so that the first thing a client hears is not that there is none yet.
    const card = new Card({
      ports: options,
      limits,
      isUntouched: isSafe,
      onSettled: () => {
        this.goOnline();
      },
    });
    this.#patience = options.timers.set(isSafe ? safePauseMs(starts) : CARD_PATIENCE_MS, () => {
      this.goOnline();
    });
    const session = {
      crypto: options.crypto,
      entropy: options.entropy,
      name: config.name,
      pairings,
      maxRequests: limits.maxRequests,
    };
    const newTable = (): ChannelTable =>
      new ChannelTable({
        timers: options.timers,
        log,
        limits,
        context,
        newSession: () => new DeviceSession(session),
      });
    const lines = linesOf(options, newTable, () => this.#uplink?.relay);
    const context: VerbContext = {
      card,
      log,
      timers: options.timers,
      ...(lines ? { lines } : {}),
      status: () =>
        deviceStatus({
          ports: options,
          config,
          host,
          starts,
          card,
          channelCount: channels.count + (lines?.channelCount ?? 0),
        }),
      health: () => deviceHealth({ ports: options, starts }),
      troubles: () => troubles.tell(),
      logLines: (from) => ({
        start: starts.start,
        uptimeMs: Math.floor(clock.monotonicMs()),
        unixMs: Math.floor(clock.unixMs() ?? 0),
        // On a board a line takes as much of the heap as a blob of a listing.
        ...log.read(from, Math.min(MAX_LISTED_LINES, limits.listedBlobs)),
      }),
    };
    const channels = newTable();
    this.#lines = lines;
    this.#options = options;
    this.#troubles = troubles;
    this.#card = card;
    this.#channels = channels;
    this.#watch = new StartWatch({ ports: options, starts });
  }

  /** Closes the link, keeps the progress of uploads, closes the card. */
  close(): void {
    this.#isClosed = true;
    this.#watch.close();
    this.#options.timers.clear(this.#patience);
    this.#uplink?.close();
    this.#lines?.close();
    this.#card.close();
  }

  private goOnline(): void {
    if (this.#uplink || this.#isClosed) return;
    const { config, timers } = this.#options;
    timers.clear(this.#patience);
    this.#uplink = new Uplink({
      ports: this.#options,
      config,
      channels: this.#channels,
      onState: (state) => {
        this.#watch.tell(state === "online");
        this.#options.onState?.(state);
      },
      onTrouble: (name) => {
        this.#troubles.note(name);
      },
    });
  }
}

/** Nothing where the network knows none: a board has no memory for what it cannot use. */
function linesOf(
  { network, clock, timers, log, config }: DeviceOptions,
  newTable: () => ChannelTable,
  relay: () => RelayAddress | undefined,
): Lines | undefined {
  if (!network.join) return undefined;
  const connect = network.connect.bind(network);
  const join = network.join.bind(network);
  const ports = { network: { connect, join }, clock, timers, log };
  return new Lines({ ports, hello: helloOf(config), relay, newTable });
}

/** The first lines of a start: which it is, and how the one before ended. */
function announce({ config, host, log }: DeviceOptions, starts: StartRecord): void {
  const { start, reason, exception, isExceptionNew, isSafe, failedStarts } = starts;
  log.write(
    "info",
    `device ${config.name} ${config.firmwareVersion} on ${host}, start ${String(start)} (${reason})`,
  );
  if (isExceptionNew) log.write("warn", `start ${String(start - 1)} ended with: ${exception}`);
  else if (reason === "exception")
    log.write("warn", "the start before ended by itself: an exception, or no memory was left");
  else if (reason === "watchdog")
    log.write("warn", "the start before was ended by the watchdog: something took too long");
  if (isSafe)
    log.write("warn", `safe mode: ${String(failedStarts)} starts in a row failed; the card is left alone`);
}

function safePauseMs({ failedStarts }: StartRecord): number {
  const beyond = failedStarts - FAILED_STARTS;
  return beyond === 0 ? 0 : Math.min(LONGEST_PAUSE_MS, SAFE_PAUSE_MS * 2 ** Math.min(beyond, 16));
}

/** A wrong configuration is the builder's mistake and shows at once. */
function judge(config: DeviceConfig): void {
  const { limits, pairings } = config;
  const within = (name: keyof typeof limits, least: number, most: number): void => {
    const value = Number(limits[name]);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new RangeError(
        `${name}: expected ${String(least)}..${String(most)}, got ${String(limits[name])}`,
      );
    }
  };
  within("maxFrameBytes", MIN_MAX_FRAME_BYTES, MAX_FRAME_BYTES);
  within("maxChannels", 1, MAX_CHANNELS);
  within("maxRequests", 1, MAX_REQUESTS);
  within("windowBytes", 4 * MIN_MAX_FRAME_BYTES, MAX_WINDOW_BYTES);
  within("grantBytes", 1, limits.windowBytes / 2);
  within("writeBytes", SECTOR_BYTES, 2 ** 20);
  within("syncBytes", limits.writeBytes, 2 ** 24);
  within("maxLogs", 1, MAX_LOGS);
  within("listedBlobs", 1, MAX_LISTED_BLOBS);
  within("logBytes", LEAST_LOG_BYTES, 2 ** 20);
  if (limits.writeBytes % SECTOR_BYTES !== 0) throw new RangeError("writeBytes: expected a multiple of 512");
  if (pairings.length > MAX_PAIRINGS)
    throw new RangeError(`pairings: expected at most ${String(MAX_PAIRINGS)}`);
}
