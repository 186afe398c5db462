// SPDX-License-Identifier: MIT
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";

/**
 * A UDP port that nothing listens on at the moment, from below the range that systems take ports from by themselves: one
 * of those could be another test's before it is used.
 */
export async function freeUdpPort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(20_000, 32_000);
    if (await isFree(port)) return port;
  }
  throw new Error("no free UDP port between 20000 and 32000 was found");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", () => {
      socket.close();
      resolve(false);
    });
    socket.bind(port, () => {
      socket.close(() => {
        resolve(true);
      });
    });
  });
}
