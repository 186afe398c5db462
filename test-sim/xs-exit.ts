// SPDX-License-Identifier: MIT
/** How a machine ended: the exit statuses of `host/xs-board.h` and of the engine, in words. */
import type { XsCounters } from "./xs-counters";

/**
 * "powerCut": the plug was pulled (`XsMachine.kill`); "lost": the process ended in a way nobody intended, which is a
 * bug of the board; the others are the firmware's.
 */
export type XsExitReason =
  | "powerCut"
  | "debugger"
  | "outOfMemory"
  | "stackOverflow"
  | "fatalCheck"
  | "deadStrip"
  | "unhandledException"
  | "outOfKeys"
  | "watchdog"
  | "unhandledRejection"
  | "lost";

export interface XsExit {
  reason: XsExitReason;
  /** What the engine said: the exception with its stack, or which heap was full. */
  text: string;
  /** The process's exit status, absent when a signal ended it. */
  status?: number;
  /** As they were at the end. */
  counters?: XsCounters;
}

/** Exit status of an engine abort = this + the engine's number, which is the index here. */
const ENGINE_STATUS = 10;
const ENGINE_REASONS: [XsExitReason, string][] = [
  ["debugger", "the debugger ended the machine"],
  ["outOfMemory", "the heap is full"],
  ["stackOverflow", "the stack is full: too deep a recursion, or creation.stack is too small"],
  ["fatalCheck", "the engine found its own memory damaged"],
  ["deadStrip", "a part of the engine is missing"],
  ["unhandledException", "an exception was not handled"],
  ["outOfKeys", "the table of property names is full: creation.keys.available is too small"],
  ["watchdog", "one event took too many instructions"],
  ["unhandledRejection", "a rejected promise was not handled"],
];

export function describeExit(
  status: number | null,
  signal: string | null,
  text: string,
): Pick<XsExit, "reason" | "text" | "status"> {
  const known = status === null ? undefined : ENGINE_REASONS[status - ENGINE_STATUS];
  if (known !== undefined && status !== null)
    return { reason: known[0], text: text.trim() || known[1], status };
  return {
    reason: "lost",
    text: `the board's process ended with ${signal ?? `status ${String(status)}`}. ${text}`.trim(),
    ...(status === null ? {} : { status }),
  };
}
