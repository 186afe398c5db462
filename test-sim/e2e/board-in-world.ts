// SPDX-License-Identifier: MIT
/** A device of a world on an XS board in this process, so that a test has its plug and its card in hand. */
import { setTimeout as delay } from "node:timers/promises";
import { State } from "../../host-tools/state";
import { Board } from "../board";
import type { SimCard } from "../card";
import type { DeviceName, World } from "./world";

export async function boardIn(world: World, name: DeviceName, card: SimCard): Promise<Board> {
  const state = new State(world.home);
  const { key, chain, ca } = await state.loadIdentity("device", name);
  const { pairingSecret } = await state.loadDevice(name);
  return new Board({
    name,
    identity: { key, cert: chain, ca },
    card,
    relay: { host: "127.0.0.1", port: world.port },
    pairings: [pairingSecret],
    onExit: ({ reason, text }) => {
      throw new Error(`the firmware of ${name} ended by itself: ${reason} ${text}`);
    },
  });
}

/** Plugs it in and waits until the relay has it. */
export async function bootInto(world: World, board: Board): Promise<void> {
  await board.boot();
  const endMs = performance.now() + 30_000;
  while (!board.isOnline || !(await world.isOnline(board.name as DeviceName))) {
    if (performance.now() > endMs)
      throw new Error(`${board.name} does not come online: ${board.logLines.join("\n")}`);
    await delay(50);
  }
}
