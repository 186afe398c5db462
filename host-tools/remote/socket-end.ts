// SPDX-License-Identifier: MIT
import type { Socket } from "node:net";

/** How long what is queued may take to leave when a connection is closed. */
const GOODBYE_MS = 1000;

/** Resolves when a socket that was ended is closed, which it is after a second at the latest. */
export async function closed(socket: Socket): Promise<void> {
  if (socket.closed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      socket.destroy();
    }, GOODBYE_MS);
    socket.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
