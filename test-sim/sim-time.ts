// SPDX-License-Identifier: MIT
/** Clock and timers of a simulated board: real time, or virtual time that stands still until a test advances it. */
import { performance } from "node:perf_hooks";

import type { Clock, TimerHandle, Timers } from "../firmware/core/io";

export interface BoardTime extends Clock, Timers {
  /** The board is off: no timer of its life fires any more, and the time since boot begins anew. */
  restart(): void;
}

export class RealTime implements BoardTime {
  #timers = new Set<NodeJS.Timeout>();
  #bootMs = performance.now();

  monotonicMs(): number {
    return performance.now() - this.#bootMs;
  }

  unixMs(): number {
    return Date.now();
  }

  set(delayMs: number, callback: () => void): TimerHandle {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, delayMs);
    this.#timers.add(timer);
    return timer;
  }

  clear(handle: TimerHandle): void {
    this.#timers.delete(handle as NodeJS.Timeout);
    clearTimeout(handle as NodeJS.Timeout);
  }

  restart(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#bootMs = performance.now();
  }
}

interface VirtualTimer {
  dueMs: number;
  order: number;
  callback: () => void;
}

export class VirtualTime implements BoardTime {
  /** Undefined: no source has set the clock yet. */
  unixStartMs: number | undefined;
  #nowMs = 0;
  #bootMs = 0;
  #order = 0;
  #timers = new Set<VirtualTimer>();

  constructor(unixStartMs: number | undefined = Date.UTC(2026, 0, 1)) {
    this.unixStartMs = unixStartMs;
  }

  monotonicMs(): number {
    return this.#nowMs - this.#bootMs;
  }

  unixMs(): number | undefined {
    return this.unixStartMs === undefined ? undefined : this.unixStartMs + this.#nowMs;
  }

  set(delayMs: number, callback: () => void): TimerHandle {
    if (!(delayMs >= 0)) throw new RangeError(`set: expected a delay of 0 or more, got ${String(delayMs)}`);
    const timer: VirtualTimer = { dueMs: this.#nowMs + delayMs, order: this.#order++, callback };
    this.#timers.add(timer);
    return timer;
  }

  clear(handle: TimerHandle): void {
    this.#timers.delete(handle as VirtualTimer);
  }

  restart(): void {
    this.#timers.clear();
    this.#bootMs = this.#nowMs;
  }

  /** When the next timer is due, in milliseconds from now. */
  get nextInMs(): number | undefined {
    const next = this.#next();
    return next === undefined ? undefined : next.dueMs - this.#nowMs;
  }

  /**
   * Lets `ms` pass. `settle` is awaited after each timer, for what the timer started; timers set meanwhile that are due
   * within the time fire too.
   */
  async advance(ms: number, settle: () => Promise<unknown> = () => Promise.resolve()): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (let next = this.#next(); next !== undefined && next.dueMs <= endMs; next = this.#next()) {
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#timers.delete(next);
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
  }

  #next(): VirtualTimer | undefined {
    let first: VirtualTimer | undefined;
    for (const timer of this.#timers)
      if (
        first === undefined ||
        timer.dueMs < first.dueMs ||
        (timer.dueMs === first.dueMs && timer.order < first.order)
      )
        first = timer;
    return first;
  }
}
