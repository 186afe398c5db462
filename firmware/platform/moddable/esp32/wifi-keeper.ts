// SPDX-License-Identifier: MIT
/**
 * Keeps a board on its Wi-Fi and its clock right, for as long as it runs. The SDK's own start-up connects once and leaves
 * it at that. Nothing here throws: an exception in a callback of the SDK's would restart the board.
 *
 * `onReady` is called once, when there is an address and the time is known: without the time no certificate can be judged.
 */
import type { Clock, Log, TimerHandle, Timers } from "../../../core/io";

export interface WifiCredentials {
  ssid: string;
  /** Absent for an open network. */
  password?: string;
}

/** What is used of the SDK's `embedded:network/interface/wifi`. */
export interface WifiStation {
  connect(options: { SSID: string; password?: string }): void;
  disconnect(): void;
  /** 200 nothing, 300 connecting, 400 no address yet, 500 all is well. */
  readonly connection: number;
  readonly address: string | undefined;
}

export type WifiClass = new (options: { onChanged(): void }) => WifiStation;

export interface WifiKeeperOptions {
  credentials: WifiCredentials;
  Wifi: WifiClass;
  /** Asks once for the time and sets the clock; calls back in any case, not inside this call. No answer, and it may be set. */
  askTime(done: (isAnswered: boolean) => void): void;
  clock: Clock;
  timers: Timers;
  log: Log;
  /** Each time that there is no connection, or no time before it was known. */
  onTrouble(name: "wifi" | "clock"): void;
  onReady(): void;
}

const CONNECTED = 500;
/** A connection that has brought no address by then is begun anew. */
const PATIENCE_MS = 30_000;
const LONGEST_PAUSE_MS = 30_000;
const TIME_RETRY_MS = 5_000;
/** While the device works with what it knew before. */
const TIME_CALM_RETRY_MS = 10 * 60_000;
const TIME_AGAIN_MS = 24 * 60 * 60 * 1000;

export class WifiKeeper {
  readonly #options: WifiKeeperOptions;
  readonly #station: WifiStation | undefined;
  /** What comes next when nothing else happens: another attempt, or giving one up. */
  #next: TimerHandle | undefined;
  #failures = 0;
  #isOnline = false;
  #isAsking = false;
  #isReady = false;

  constructor(options: WifiKeeperOptions) {
    this.#options = options;
    try {
      this.#station = new options.Wifi({
        onChanged: () => {
          this.#look();
        },
      });
    } catch (error) {
      options.log.write("warn", `Wi-Fi: does not start: ${String(error)}`);
      return;
    }
    this.#after(0, () => {
      this.#connect();
    });
  }

  #connect(): void {
    const { credentials, log } = this.#options;
    const { ssid, password } = credentials;
    if (this.#failures === 0) log.write("info", `Wi-Fi: connecting to ${ssid}`);
    try {
      this.#station?.connect({ SSID: ssid, ...(password === undefined ? {} : { password }) });
    } catch (error) {
      log.write("warn", `Wi-Fi: ${String(error)}`);
    }
    this.#after(PATIENCE_MS, () => {
      this.#giveUp();
    });
  }

  /** The radio tells nobody that it disconnected when it was asked to. */
  #giveUp(): void {
    try {
      this.#station?.disconnect();
    } catch {
      // It is disconnected.
    }
    this.#retry();
  }

  #retry(): void {
    const { log, credentials, onTrouble } = this.#options;
    onTrouble("wifi");
    if (this.#failures === 0 || this.#isOnline)
      log.write("warn", `Wi-Fi: no connection to ${credentials.ssid}; is the password right, is it 2.4 GHz?`);
    this.#isOnline = false;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** Math.min(this.#failures, 5));
    this.#failures++;
    this.#after(pauseMs, () => {
      this.#connect();
    });
  }

  #look(): void {
    const connection = this.#station?.connection ?? 0;
    if (connection >= CONNECTED) {
      if (this.#isOnline) return;
      this.#isOnline = true;
      this.#failures = 0;
      this.#stopWaiting();
      this.#options.log.write("info", `Wi-Fi: connected, ${this.#station?.address ?? "no address"}`);
      this.#askTime();
      this.#settle();
    } else if (connection < 300) this.#retry();
  }

  #askTime(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const { timers, log, askTime, onTrouble } = this.#options;
    const again = (ms: number): void => {
      timers.set(ms, () => {
        this.#isAsking = false;
        this.#askTime();
      });
    };
    try {
      askTime((isAnswered) => {
        if (!isAnswered && !this.#isReady) {
          onTrouble("clock");
          log.write("warn", "clock: no time server answers; trying again");
        }
        this.#settle();
        again(isAnswered ? TIME_AGAIN_MS : this.#isReady ? TIME_CALM_RETRY_MS : TIME_RETRY_MS);
      });
    } catch (error) {
      log.write("warn", `clock: ${String(error)}`);
      again(TIME_RETRY_MS);
    }
  }

  #settle(): void {
    const { clock, onReady } = this.#options;
    if (this.#isReady || !this.#isOnline || clock.unixMs() === undefined) return;
    this.#isReady = true;
    onReady();
  }

  #after(delayMs: number, step: () => void): void {
    this.#stopWaiting();
    this.#next = this.#options.timers.set(delayMs, () => {
      this.#next = undefined;
      step();
    });
  }

  #stopWaiting(): void {
    if (this.#next) this.#options.timers.clear(this.#next);
    this.#next = undefined;
  }
}
