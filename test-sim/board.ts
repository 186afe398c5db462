// SPDX-License-Identifier: MIT
/**
 * A simulated board: the firmware on the XS engine, a card, flash, network, clock, a power plug and a reset button. What
 * a device keeps without power - card and settings - stays with the object from boot to boot; everything else begins
 * anew.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { BOARD_LIMITS, type DeviceLimits, type RelayAddress } from "../firmware/core/device-config";
import type {
  Discovery,
  Entropy,
  FoundRelay,
  LogLevel,
  Preferences,
  ResetReason,
  TimerHandle,
} from "../firmware/core/io";
import { FilePreferences } from "../firmware/platform/node/file-preferences";
import { nodeCrypto, nodeEntropy } from "../firmware/platform/node/node-crypto";
import { BoardHost } from "./board-host";
import { SimCard } from "./card";
import { bundleFirmware } from "./firmware-bundle";
import { MemoryPreferences } from "./memory-preferences";
import { projectRoot } from "./project-root";
import { SimDiscovery } from "./sim-discovery";
import { type BoardIdentity, SimNetwork } from "./sim-network";
import { SeededEntropy } from "./seeded-entropy";
import { type BoardTime, RealTime, VirtualTime } from "./sim-time";
import type { XsCounters } from "./xs-counters";
import { type XsCreation, manifestCreation } from "./xs-creation";
import type { XsExit } from "./xs-exit";
import { XsMachine } from "./xs-machine";

export interface BoardOptions {
  /** As in the certificate, `coffer:device:<name>`. */
  name: string;
  identity: BoardIdentity;
  /** A card, or the folder of the host that is one; absent: an empty card in memory. */
  card?: SimCard;
  cardFolder?: string;
  /** Absent: found by discovery. */
  relay?: RelayAddress;
  /** Searches the real network; absent: what `announce` was told. */
  discovery?: Discovery;
  /** Pairing secrets, 32 bytes each. */
  pairings?: readonly Uint8Array[];
  /** JSON file for the settings in flash; absent: as long as this object lives. */
  preferencesFile?: string;
  limits?: DeviceLimits;
  /** Repeatable entropy and card; absent: real entropy. */
  seed?: number;
  /** Time stands still until `advance`. */
  virtualTime?: boolean;
  /** Absent: what the root manifest gives the device. */
  creation?: XsCreation;
  watchdogInstructions?: number;
  /** HOST:PORT of a waiting xsbug. */
  xsbug?: string;
  /** The image in its flash, when it is not the device built from this checkout. */
  firmware?: string;
  /** Goes to the firmware instead of the device's configuration. */
  config?: unknown;
  onLog?: (level: LogLevel, message: string) => void;
  /** The connection to the relay is up or down. */
  onState?: (state: "offline" | "online") => void;
  /** The machine ended by itself: an exception, no memory. A device would restart; a test wants to know. */
  onExit?: (exit: XsExit) => void;
}

const MAX_LOG_LINES = 1000; // kept for tests; the oldest go

const entry = () => join(projectRoot(), "firmware", "platform", "xs-board", "main.ts");
let deviceFirmware: Promise<string> | undefined;

export class Board {
  readonly name: string;
  readonly card: SimCard;
  readonly time: BoardTime;
  readonly preferences: Preferences;
  /** The newest last, as "level message". */
  readonly logLines: string[] = [];
  /** How the last life ended; undefined while it lasts. */
  exit: XsExit | undefined;
  /** The image in its flash, a module for the XS engine; undefined: the device built from this checkout. */
  image: string | undefined;
  /** Whether the relay has taken the connection. */
  isOnline = false;
  readonly #options: BoardOptions;
  readonly #network: SimNetwork;
  readonly #neighbours: SimDiscovery;
  readonly #entropy: Entropy;
  #machine: XsMachine | undefined;
  #host: BoardHost | undefined;
  #reason: ResetReason = "powerOn";
  #watchdog: TimerHandle | undefined;

  constructor(options: BoardOptions) {
    const { name, seed, cardFolder } = options;
    this.name = name;
    this.#options = options;
    this.image = options.firmware;
    this.card =
      options.card ??
      new SimCard({
        ...(seed === undefined ? {} : { seed }),
        ...(cardFolder === undefined ? {} : { folder: cardFolder }),
      });
    this.time = options.virtualTime === true ? new VirtualTime() : new RealTime();
    this.#neighbours = new SimDiscovery(this.time);
    this.preferences =
      options.preferencesFile === undefined
        ? new MemoryPreferences()
        : new FilePreferences({ path: options.preferencesFile });
    this.#network = new SimNetwork(options.identity);
    this.#entropy = seed === undefined ? nodeEntropy : new SeededEntropy(seed);
    this.card.onPowerCut = () => void this.#stop("powerOn");
  }

  /** The counters of the last idle moment. */
  get counters(): XsCounters | undefined {
    return this.#machine?.counters;
  }

  get isRunning(): boolean {
    return this.#machine !== undefined && this.exit === undefined;
  }

  /** A relay that answers the board's search, under the name that its certificate proves. */
  announce(relay: FoundRelay): void {
    this.#neighbours.relays.push(relay);
  }

  /** Plugs it in. Resolves when the firmware has started and has nothing left to do; rejects when it ended before. */
  async boot(): Promise<void> {
    if (this.isRunning) throw new Error(`the board ${this.name} is running`);
    const { xsbug, watchdogInstructions } = this.#options;
    const source = this.image ?? (await bundledDevice(xsbug !== undefined));
    const creation = this.#options.creation ?? (await manifestCreation());
    this.card.powerOn();
    this.time.restart();
    this.exit = undefined;
    const host = new BoardHost(this.#parts(), this.#config(), (event) => this.#machine?.send(event));
    this.#host = host;
    const machine = await XsMachine.start({
      name: this.name,
      source,
      creation,
      ...(xsbug === undefined ? {} : { xsbug }),
      ...(watchdogInstructions === undefined ? {} : { watchdogInstructions }),
      onCall: (request) => host.call(request),
      onTrace: (text) => {
        this.#log(text);
      },
    });
    this.#machine = machine;
    void machine.exited.then((exit) => {
      if (this.#machine !== machine || this.exit !== undefined) return;
      this.exit = exit;
      if (exit.reason === "powerCut") return;
      this.#stopParts();
      // As at a reset: no file stays open, and what the firmware had not flushed is lost with its memory.
      this.card.cutPower();
      this.#reason = exit.reason === "watchdog" ? "watchdog" : "exception";
      this.#options.onExit?.(exit);
    });
    await machine.idle();
  }

  /** Resolves when the firmware has done everything it was told so far. */
  async idle(): Promise<XsCounters> {
    if (!this.#machine) throw new Error(`the board ${this.name} has not been booted`);
    return this.#machine.idle();
  }

  /** Collects garbage, so that the counters tell what is live. */
  async collectGarbage(): Promise<XsCounters> {
    if (!this.#machine) throw new Error(`the board ${this.name} has not been booted`);
    return this.#machine.collectGarbage();
  }

  /** Lets virtual time pass, timer by timer. */
  async advance(ms: number): Promise<void> {
    if (!(this.time instanceof VirtualTime)) throw new Error(`the board ${this.name} runs in real time`);
    await this.time.advance(ms, async () => {
      // An end in between is told by `exit`; a restart goes on with the next timer.
      if (this.isRunning) await this.#machine?.idle().catch(() => undefined);
    });
  }

  /** Pulls the plug: what the card had not made durable is lost, kept or torn. */
  async cutPower(): Promise<void> {
    this.card.cutPower();
    await this.#stop("powerOn");
  }

  /** The reset button. For the card the same as a power cut: what the firmware had not flushed is in its memory. */
  async reset(reason: ResetReason = "software"): Promise<void> {
    this.card.cutPower();
    await this.#stop(reason);
    await this.boot();
  }

  async #stop(reason: ResetReason): Promise<void> {
    this.#reason = reason;
    this.#stopParts();
    const machine = this.#machine;
    if (machine === undefined) return;
    const exit = await machine.kill();
    if (this.#machine === machine) this.exit = exit;
  }

  /** As the hardware's: whatever the firmware is doing, it is over. */
  async #bark(withinMs: number): Promise<void> {
    const machine = this.#machine;
    if (machine === undefined || this.exit !== undefined) return;
    const text = `the watchdog was not fed for ${String(withinMs)} ms`;
    this.exit = { reason: "watchdog", text };
    this.#reason = "watchdog";
    this.#stopParts();
    this.card.cutPower();
    const { counters } = await machine.kill();
    if (this.#machine !== machine) return;
    this.exit = { reason: "watchdog", text, ...(counters ? { counters } : {}) };
    this.#options.onExit?.(this.exit);
  }

  #stopParts(): void {
    this.#watchdog = undefined;
    this.#host?.off();
    this.isOnline = false;
    this.#network.drop();
    this.time.restart();
  }

  #parts() {
    return {
      clock: this.time,
      timers: this.time,
      entropy: this.#entropy,
      preferences: this.preferences,
      storage: this.card,
      crypto: nodeCrypto,
      network: this.#network,
      discovery: this.#options.discovery ?? this.#neighbours,
      onState: (state: string) => {
        this.isOnline = state === "online";
        this.#options.onState?.(this.isOnline ? "online" : "offline");
      },
      watchdog: {
        feed: (withinMs: number) => {
          if (this.#watchdog !== undefined) this.time.clear(this.#watchdog);
          this.#watchdog = this.time.set(withinMs, () => void this.#bark(withinMs));
        },
      },
      reset: {
        reason: this.#reason,
        restart: () => {
          setImmediate(() => void this.reset("software")); // the call that asks for it is never answered
        },
      },
    };
  }

  #config(): unknown {
    if (this.#options.config !== undefined) return this.#options.config;
    const { name, relay, pairings = [], limits = BOARD_LIMITS } = this.#options;
    return {
      name,
      firmwareVersion: firmwareVersion(),
      relay,
      pairings: pairings.map((secret) => Buffer.from(secret).toString("hex")),
      limits,
    };
  }

  #log(text: string): void {
    const at = text.indexOf(" ");
    const level: LogLevel = text.slice(0, at) === "warn" ? "warn" : "info";
    const line = text.slice(at + 1);
    this.logLines.push(text);
    if (this.logLines.length > MAX_LOG_LINES) this.logLines.shift();
    this.#options.onLog?.(level, line);
  }
}

/** The checkout's: what a build of the device from it would say. */
function firmwareVersion(): string {
  const { version } = JSON.parse(readFileSync(join(projectRoot(), "package.json"), "utf8")) as {
    version: string;
  };
  return version;
}

function bundledDevice(isDebugged: boolean): Promise<string> {
  if (isDebugged) return bundleFirmware(entry(), { absoluteNames: true });
  deviceFirmware ??= bundleFirmware(entry());
  return deviceFirmware;
}
