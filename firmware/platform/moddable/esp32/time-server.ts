// SPDX-License-Identifier: MIT
/** The clock of a board, from a time server (SNTP). */
import SNTP from "sntp";
import Time from "time";

/** One question; the SDK repeats it a few times itself. */
export function askTime(host: string, done: (isSet: boolean) => void): void {
  new SNTP({ host }, (message, value) => {
    if (message === SNTP.time) {
      Time.set(Number(value));
      done(true);
    } else if (message === SNTP.error) done(false);
    // Nothing: it closes itself, and is not to try another server.
    return undefined;
  });
}
