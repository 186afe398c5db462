// SPDX-License-Identifier: MIT
/**
 * Mocha ends its workers when the last file is through, whatever they still hold. So each file is asked here: a socket,
 * a timer or a process that it leaves behind fails it, where one process for all files would have hung at its end.
 */
import { setTimeout as delay } from "node:timers/promises";

/** What was closed may still be on its way out. */
const CLOSING_MS = 10_000;

/** The worker's channel to mocha, and the output's pipes, which are opened when they are first used. */
function openFromTheStart(): string[] {
  for (const stream of [process.stdout, process.stderr]) stream.write("");
  return process.getActiveResourcesInfo().filter((kind) => kind === "PipeWrap" || kind === "TTYWrap");
}

const expected = [...openFromTheStart(), "Timeout"]; // the time limit that mocha gives the hook

function leftOpen(): string[] {
  const open = process.getActiveResourcesInfo();
  for (const kind of expected) {
    const index = open.indexOf(kind);
    if (index >= 0) open.splice(index, 1);
  }
  return open;
}

async function checkLeftOpen(this: Mocha.Context): Promise<void> {
  this.timeout(2 * CLOSING_MS);
  const endMs = performance.now() + CLOSING_MS;
  await delay(1); // from here on mocha's time limit runs
  for (let open = leftOpen(); open.length > 0; open = leftOpen()) {
    if (performance.now() > endMs) {
      expected.push(...open); // it is not the next file's
      const files = new Set(this.test?.parent?.suites.map(({ file }) => file));
      throw new Error(`${[...files].join(", ")} left open: ${open.join(", ")}`);
    }
    await delay(10);
  }
}

export const mochaHooks = {
  beforeAll(this: Mocha.Context) {
    this.test?.parent?.afterAll(checkLeftOpen); // so late that it comes after those of the file
  },
};
