// SPDX-License-Identifier: MIT
/** The time, from a time server (SNTP), and the clock of a board. */
import SNTP from "sntp";
import Time from "time";

/** One question; the SDK repeats it a few times itself. `done` without a time when nobody answers. */
export function askServer(host: string, done: (unixMs?: number) => void): void {
  new SNTP({ host }, (message, value) => {
    if (message === SNTP.time) done(Number(value) * 1000);
    else if (message === SNTP.error) done();
    // Nothing: it closes itself, and is not to try another server.
    return undefined;
  });
}

export function setClock(unixMs: number): void {
  Time.set(Math.floor(unixMs / 1000));
}
