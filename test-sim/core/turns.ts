// SPDX-License-Identifier: MIT
/** Virtual time and the event loop of a device under test in one queue: a test says when turns happen and time passes. */
import type { Clock, TimerHandle, Timers } from "../../firmware/core/io";

interface Turn {
  dueMs: number;
  callback: () => void;
}

const MAX_TURNS = 10_000_000;

export class Turns implements Clock, Timers {
  nowMs = 0;
  isClockSet = true;
  #queue: Turn[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }

  unixMs(): number | undefined {
    return this.isClockSet ? 1_700_000_000_000 + this.nowMs : undefined;
  }

  set(delayMs: number, callback: () => void): TimerHandle {
    if (!(delayMs >= 0)) throw new RangeError(`set: expected 0 or more, got ${String(delayMs)}`);
    const turn = { dueMs: this.nowMs + delayMs, callback };
    let at = this.#queue.length;
    while (at > 0 && (this.#queue[at - 1]?.dueMs ?? 0) > turn.dueMs) at--;
    this.#queue.splice(at, 0, turn);
    return turn;
  }

  clear(handle: TimerHandle): void {
    this.#queue = this.#queue.filter((turn) => turn !== handle);
  }

  /** As the simulated card wants it. */
  readonly defer = (callback: () => void): void => {
    this.set(0, callback);
  };

  /** When the next timer fires, in milliseconds from now. */
  get nextInMs(): number | undefined {
    const next = this.#queue[0];
    return next && next.dueMs - this.nowMs;
  }

  /** Everything that is due now, and what that sets off. `isWanted` false stops after a turn. */
  run(isWanted: () => boolean = () => true): void {
    for (let count = 0; isWanted(); count++) {
      const next = this.#queue[0];
      if (!next || next.dueMs > this.nowMs) return;
      if (count > MAX_TURNS) throw new Error("turns: the device never comes to rest");
      this.#queue.shift();
      next.callback();
    }
  }

  /** Lets time pass, turn by turn. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    this.run();
    for (let next = this.#queue[0]; next && next.dueMs <= endMs; next = this.#queue[0]) {
      this.nowMs = next.dueMs;
      this.run();
    }
    this.nowMs = endMs;
  }

  /** The device is dead: nothing of it happens any more. */
  drop(): void {
    this.#queue = [];
  }
}
