// SPDX-License-Identifier: MIT
/** Long work in slices of one timer turn each, so that sockets and other requests get their turn in between. */
import type { Timers } from "./io";

/**
 * Calls `step` once a turn until it returns false, then `done` with nothing; when `step` throws, `done` gets what it
 * threw. Nothing is called inside this call.
 */
export function inSlices(timers: Timers, step: () => boolean, done: (error?: unknown) => void): void {
  const turn = (): void => {
    let isMore: boolean;
    try {
      isMore = step();
    } catch (error) {
      done(error);
      return;
    }
    if (isMore) timers.set(0, turn);
    else done();
  };
  timers.set(0, turn);
}
