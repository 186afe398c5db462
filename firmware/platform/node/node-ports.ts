// SPDX-License-Identifier: MIT
/** The small ports on Node: clock, timers, log, reset, memory. */
import type { Clock, Log, MemoryMeter, Reset, TimerHandle, Timers } from "../../core/io";

export const nodeClock: Clock = {
  monotonicMs: () => performance.now(),
  unixMs: () => Date.now(),
};

interface NodeTimer {
  timeout?: NodeJS.Timeout;
  immediate?: NodeJS.Immediate;
}

/** A delay of 0 is the next turn of the event loop, which setTimeout would make a millisecond. */
export const nodeTimers: Timers = {
  set: (delayMs, callback): TimerHandle => {
    const timer: NodeTimer =
      delayMs > 0 ? { timeout: setTimeout(callback, delayMs) } : { immediate: setImmediate(callback) };
    return timer;
  },
  clear: (handle) => {
    const { timeout, immediate } = handle as NodeTimer;
    if (timeout) clearTimeout(timeout);
    if (immediate) clearImmediate(immediate);
  },
};

const MAX_LINE_CHARACTERS = 200;

export function nodeLog(write: (line: string) => void): Log {
  return {
    write: (level, message) => {
      try {
        write(`${level}: ${message.slice(0, MAX_LINE_CHARACTERS)}`);
      } catch {
        // A log that cannot be written stops nothing.
      }
    },
  };
}

/** A process cannot tell why it was started; an exception that ended it is known from its preferences. */
export function nodeReset(restart: () => void): Reset {
  return { reason: "software", restart };
}

export const nodeMemory: MemoryMeter = {
  read: () => {
    const { rss, heapUsed, external } = process.memoryUsage();
    return {
      usedBytes: heapUsed + external,
      peakBytes: Math.max(rss, process.resourceUsage().maxRSS * 1024),
      limitBytes: 0,
    };
  },
};
