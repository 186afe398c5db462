// SPDX-License-Identifier: MIT
/** The firmware's last word before the engine restarts the board: `XS_ABORTHOOK` of the manifest. */
import type { Ports } from "../../core/io";
import { reportException } from "../../core/start-record";

/**
 * The engine calls it when nobody caught an exception, or no memory is left, and restarts the board then. Without memory it may come again from in here: once is enough.
 */
export function installAbortHook(ports: Pick<Ports, "log" | "preferences">): void {
  let isEnding = false;
  (globalThis as { abort?: (message: string, exception: unknown) => boolean }).abort = (
    message,
    exception,
  ) => {
    if (isEnding) return true;
    isEnding = true;
    reportException(ports, exception ?? message);
    return true; // goes on to the restart
  };
}
