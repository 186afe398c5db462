// SPDX-License-Identifier: MIT
/** Runs one case of one port inside XS, on a board of its own. */
import { fileURLToPath } from "node:url";

import { Board } from "../board";
import { bundleFirmware } from "../firmware-bundle";
import type { BoardIdentity } from "../sim-network";
import type { NetworkPeer } from "./network-cases";

const CASE_MS = 15_000; // a case that says nothing for so long never will

let bundled: Promise<string> | undefined;

export async function runOnXs(
  config: { suite: string; index: number; peer: NetworkPeer },
  identity: BoardIdentity,
): Promise<void> {
  bundled ??= bundleFirmware(fileURLToPath(new URL("xs-entry.ts", import.meta.url)));
  const firmware = await bundled;
  let timer: NodeJS.Timeout | undefined;
  let board: Board | undefined;
  const verdict = new Promise<string>((resolve) => {
    timer = setTimeout(() => {
      resolve("failed: nothing heard");
    }, CASE_MS);
    board = new Board({
      name: "case",
      identity,
      firmware,
      config,
      onLog: (_, line) => {
        resolve(line);
      },
      onExit: (exit) => {
        resolve(`${exit.reason}: ${exit.text}`);
      },
    });
    board.boot().catch((error: unknown) => {
      resolve(String(error));
    });
  });
  const found = await verdict;
  clearTimeout(timer);
  await board?.cutPower();
  if (found !== "passed") throw new Error(found);
}
