// SPDX-License-Identifier: MIT
/** The small ports on Moddable: time, randomness, log, reset, memory. */
import Timer from "timer";
import type {
  Clock,
  Entropy,
  Log,
  LogLevel,
  MemoryMeter,
  Reset,
  ResetReason,
  TimerHandle,
  Timers,
  Watchdog,
} from "../../core/io";
import {
  MEMORY_COUNTERS,
  MemoryCounter,
  feedWatchdog,
  fillRandom,
  monotonicMs,
  readFreeMemory,
  readMemory,
  resetReason,
  restart,
  unixMs,
} from "./coffer-system";

/** A board starts in 1970: no source has set the clock while it says less than this. */
const EARLIEST_UNIX_MS = Date.UTC(2025, 0, 1);

export class ModdableClock implements Clock {
  /** A computer's own count is older than the device that runs on it. */
  readonly #startMs = monotonicMs();

  monotonicMs(): number {
    return monotonicMs() - this.#startMs;
  }

  unixMs(): number | undefined {
    const ms = unixMs();
    return ms >= EARLIEST_UNIX_MS ? ms : undefined;
  }
}

interface WaitingTimer extends TimerHandle {
  dueMs: number;
  /** Undefined once it fired or was cleared. */
  callback: (() => void) | undefined;
}

/** A pause of the SDK's timer that no one waits for. */
const LONGEST_MS = 2 ** 30;

/**
 * Every timer over one of the SDK's, which is made once: on Linux the SDK loses each 65536th that is made, and one of 0 ms
 * is served before any socket. So the shortest delay is 1 ms, and all that are due then run in one turn.
 */
export class ModdableTimers implements Timers {
  /** Ascending by time, then by age. Bound: what the core waits for. */
  #waiting: WaitingTimer[] = [];
  readonly #timer: Timer;
  #isFiring = false;

  constructor() {
    this.#timer = Timer.repeat(() => {
      this.#fire();
    }, LONGEST_MS);
  }

  set(delayMs: number, callback: () => void): TimerHandle {
    const timer: WaitingTimer = { dueMs: monotonicMs() + Math.max(0, delayMs), callback };
    let at = this.#waiting.length;
    while (at > 0 && (this.#waiting[at - 1] as WaitingTimer).dueMs > timer.dueMs) at--;
    this.#waiting.splice(at, 0, timer);
    if (at === 0 && !this.#isFiring) this.#schedule();
    return timer;
  }

  clear(handle: TimerHandle): void {
    const timer = handle as WaitingTimer;
    if (timer.callback === undefined) return;
    timer.callback = undefined;
    const at = this.#waiting.indexOf(timer);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  #fire(): void {
    const nowMs = monotonicMs();
    let count = 0;
    while (count < this.#waiting.length && (this.#waiting[count] as WaitingTimer).dueMs <= nowMs) count++;
    const due = this.#waiting.splice(0, count);
    this.#isFiring = true;
    try {
      for (const timer of due) {
        const { callback } = timer;
        timer.callback = undefined;
        callback?.();
      }
    } finally {
      this.#isFiring = false;
      this.#schedule();
    }
  }

  /** First delay and repetition equal: the SDK's timer on Linux otherwise fires twice when changed from its own callback. */
  #schedule(): void {
    const first = this.#waiting[0];
    const delayMs = first
      ? Math.min(LONGEST_MS, Math.max(1, Math.ceil(first.dueMs - monotonicMs())))
      : LONGEST_MS;
    Timer.schedule(this.#timer, delayMs, delayMs);
  }
}

export class ModdableEntropy implements Entropy {
  fill(into: Uint8Array): void {
    if (into.length > 0) fillRandom(into);
  }
}

const MAX_LINE = 200; // characters, of the port's contract

export class ModdableLog implements Log {
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  write(level: LogLevel, message: string): void {
    try {
      this.#print(`${level} ${message.slice(0, MAX_LINE)}`);
    } catch {
      // Nobody listens: a log never stops its device.
    }
  }
}

const REASONS: readonly ResetReason[] = [
  "unknown",
  "powerOn",
  "software",
  "exception",
  "watchdog",
  "brownout",
];

export class ModdableReset implements Reset {
  readonly reason: ResetReason = REASONS[resetReason()] ?? "unknown";

  restart(): void {
    restart();
  }
}

/** Of an ESP32. */
export class ModdableWatchdog implements Watchdog {
  feed(withinMs: number): void {
    feedWatchdog(withinMs);
  }
}

export class ModdableMemoryMeter implements MemoryMeter {
  readonly #counters = new Float64Array(MEMORY_COUNTERS);

  read(): { usedBytes: number; peakBytes: number; limitBytes: number } {
    const counters = this.#counters;
    readMemory(counters.buffer);
    const total = (slots: number, chunks: number): number =>
      (counters[slots] ?? 0) * (counters[MemoryCounter.slotBytes] ?? 0) + (counters[chunks] ?? 0);
    return {
      usedBytes: total(MemoryCounter.slots, MemoryCounter.chunks),
      peakBytes: total(MemoryCounter.slotsPeak, MemoryCounter.chunksPeak),
      limitBytes: total(MemoryCounter.slotsLimit, MemoryCounter.chunksLimit),
    };
  }

  readSystem(): { freeBytes: number; leastFreeBytes: number } {
    const counters = new Float64Array(2);
    readFreeMemory(counters.buffer);
    return { freeBytes: counters[0] ?? 0, leastFreeBytes: counters[1] ?? 0 };
  }
}
