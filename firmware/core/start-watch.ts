// SPDX-License-Identifier: MIT
/**
 * Watches a start: feeds the watchdog from turns of the loop, and calls the start good once it has held. In safe mode
 * it is what ends it: after a while the device tries to be itself again.
 */
import type { Ports, TimerHandle } from "./io";
import type { StartRecord } from "./start-record";

/** Online for so long without a break: what made a start fail at once would have done so. */
const ONLINE_MS = 60_000;
/** A device that finds no relay has no fault of its own: running so long is as good. */
const OFFLINE_MS = 60 * 60_000;
/** In safe mode, either way: time enough to look at it and to give it other firmware. */
const SAFE_MS = 30 * 60_000;
/**
 * How often the watchdog is fed, and how long it waits: a full handshake blocks a board's loop for two seconds, no slice
 * of work on the card for more than one. A loop that has not turned for so long does not turn any more.
 */
const FEED_MS = 5000;
const WATCHDOG_MS = 30_000;

export interface StartWatchOptions {
  ports: Pick<Ports, "timers" | "watchdog" | "log" | "reset">;
  starts: StartRecord;
}

export class StartWatch {
  readonly #ports: StartWatchOptions["ports"];
  readonly #starts: StartRecord;
  /** Undefined once it has held. */
  #holding: TimerHandle | undefined;
  #feeding: TimerHandle | undefined;
  /** One for all turns: a closure takes ten slots. */
  readonly #feed = (): void => {
    this.#ports.watchdog?.feed(WATCHDOG_MS);
    this.#feeding = this.#ports.timers.set(FEED_MS, this.#feed);
  };
  readonly #hold = (): void => {
    this.held();
  };

  constructor({ ports, starts }: StartWatchOptions) {
    this.#ports = ports;
    this.#starts = starts;
    if (ports.watchdog) this.#feed();
    this.#holding = ports.timers.set(starts.isSafe ? SAFE_MS : OFFLINE_MS, this.#hold);
  }

  /** The uplink came up or went down. */
  tell(isOnline: boolean): void {
    if (this.#holding === undefined || this.#starts.isSafe) return;
    const { timers } = this.#ports;
    timers.clear(this.#holding);
    this.#holding = timers.set(isOnline ? ONLINE_MS : OFFLINE_MS, this.#hold);
  }

  close(): void {
    const { timers } = this.#ports;
    if (this.#holding) timers.clear(this.#holding);
    if (this.#feeding) timers.clear(this.#feeding);
    this.#holding = undefined; // the uplink tells of its end, too
  }

  private held(): void {
    this.#holding = undefined;
    this.#starts.hold();
    if (!this.#starts.isSafe) return;
    const { log, reset } = this.#ports;
    log.write("info", "safe mode has held: starting as usual");
    reset.restart();
  }
}
