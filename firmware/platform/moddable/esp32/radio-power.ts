// SPDX-License-Identifier: MIT
/**
 * Wi-Fi's power save, off while bytes move: asleep between beacons a radio answers after 100 to 300 ms, and every packet
 * of a transfer may wait that long. Heartbeats do not count. RAM: one timer.
 */
import type { Clock, Timers } from "../../../core/io";
import type { TcpClass, TcpOptions, TcpSocket } from "../guarded-tcp";

const IDLE_MS = 10_000;
/** What is less at once is a heartbeat, or a question. */
const TRANSFER_BYTES = 512;

export interface RadioPowerOptions {
  /** True saves. */
  setPowerSave(isSaving: boolean): void;
  clock: Clock;
  timers: Timers;
}

export class RadioPower {
  readonly #options: RadioPowerOptions;
  #isAwake = false;
  #lastMs = 0;

  constructor(options: RadioPowerOptions) {
    this.#options = options;
  }

  moved(bytes: number): void {
    if (bytes < TRANSFER_BYTES) return;
    this.#lastMs = this.#options.clock.monotonicMs();
    if (this.#isAwake) return;
    this.#isAwake = true;
    this.#options.setPowerSave(false);
    this.#watch(IDLE_MS);
  }

  #watch(delayMs: number): void {
    const { clock, timers, setPowerSave } = this.#options;
    timers.set(delayMs, () => {
      const leftMs = this.#lastMs + IDLE_MS - clock.monotonicMs();
      if (leftMs > 0) this.#watch(leftMs);
      else {
        this.#isAwake = false;
        setPowerSave(true);
      }
    });
  }
}

/** `Tcp`, whose traffic keeps the radio awake. */
export function wakingTcp(Tcp: TcpClass, power: RadioPower): TcpClass {
  return class WakingTcp implements TcpSocket {
    readonly #socket: TcpSocket;

    constructor(options: TcpOptions) {
      this.#socket = new Tcp({
        ...options,
        onReadable(count) {
          power.moved(count);
          options.onReadable(count);
        },
      });
    }

    read(into: Uint8Array): unknown {
      return this.#socket.read(into);
    }

    write(bytes: Uint8Array): unknown {
      power.moved(bytes.length);
      return this.#socket.write(bytes);
    }

    close(): void {
      this.#socket.close();
    }
  };
}
