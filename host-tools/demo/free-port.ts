// SPDX-License-Identifier: MIT
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * A loopback port that nothing listens on at the moment, from below the range that systems take ports of outgoing
 * connections from: one of those could be gone before it is used.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(20_000, 32_000);
    if (await isFree(port)) return port;
  }
  throw new Error("no free port between 20000 and 32000 was found");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => {
      resolve(false);
    });
    server.listen(port, "127.0.0.1", () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
