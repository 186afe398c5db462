// SPDX-License-Identifier: MIT
/** What a board has around its parts, played: time and a console. */
import type { Log, TimerHandle } from "../../firmware/core/io";

/** A clock that only moves when it is told to, and its timers. */
export class PlayedTime {
  nowMs = 0;
  /** Undefined until a server has answered. */
  unixBaseMs: number | undefined;
  #waiting: { dueMs: number; callback: () => void }[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }

  unixMs(): number | undefined {
    return this.unixBaseMs === undefined ? undefined : this.unixBaseMs + this.nowMs;
  }

  set(delayMs: number, callback: () => void): TimerHandle {
    const timer = { dueMs: this.nowMs + delayMs, callback };
    this.#waiting.push(timer);
    return timer;
  }

  clear(handle: TimerHandle): void {
    this.#waiting = this.#waiting.filter((timer) => timer !== handle);
  }

  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = this.#waiting.filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs);
      if (!next) break;
      this.clear(next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.callback();
    }
    this.nowMs = endMs;
  }
}

export class KeptLines implements Log {
  readonly lines: string[] = [];
  write(level: string, message: string): void {
    this.lines.push(`${level} ${message}`);
  }
}
