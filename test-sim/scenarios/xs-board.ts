// SPDX-License-Identifier: MIT
/**
 * The firmware on the XS engine, on a board in this process. Its card loses what was not flushed, and its power goes during
 * one of the card's writes.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BOARD_LIMITS } from "../../firmware/core/device-config";
import { State } from "../../host-tools/state";
import { Board } from "../board";
import { SimCard } from "../card";
import type { SeededRandom } from "../seeded-random";
import { type DeviceHost, type DeviceOptions, type ScenarioDevice, deviceFolder } from "./device-host";

const ONLINE_MS = 30_000;
/** Within so many of the card's writes; some come with every 128 KiB of an upload, and with every log entry. */
const CUT_WITHIN_WRITES = 40;
/** The device may be waiting for its network: then the plug is pulled all the same. */
const CUT_WITHIN_MS = 1500;

export const xsBoard: DeviceHost = {
  title: "the XS board",
  name: "xs-board",
  limits: BOARD_LIMITS,
  async device(options) {
    const folder = deviceFolder(options);
    await mkdir(join(folder, "card"), { recursive: true });
    return new BoardDevice(folder, options);
  },
};

class BoardDevice implements ScenarioDevice {
  readonly folder: string;
  readonly #options: DeviceOptions;
  #seed: number;
  #board: Board | undefined;

  constructor(folder: string, options: DeviceOptions) {
    this.folder = folder;
    this.#options = options;
    this.#seed = options.seed;
  }

  async start(): Promise<void> {
    const { world, name } = this.#options;
    const board = (this.#board ??= await this.#assemble());
    await board.boot();
    const endMs = performance.now() + ONLINE_MS;
    while (!board.isOnline || !(await world.isOnline(name))) {
      if (performance.now() > endMs)
        throw new Error(`${name} does not come online: ${board.logLines.join("\n")}`);
      await delay(20);
    }
  }

  async stop(): Promise<void> {
    await this.#board?.cutPower();
    this.#board = undefined; // somebody else may write to the card now
  }

  async cutPower(random?: SeededRandom): Promise<void> {
    const board = this.#board;
    if (board === undefined) return;
    if (random) {
      board.card.cutAtWrite(1 + random.below(CUT_WITHIN_WRITES));
      const endMs = performance.now() + CUT_WITHIN_MS;
      while (board.card.isPowered && performance.now() < endMs) await delay(10);
    }
    await board.cutPower();
  }

  async #assemble(): Promise<Board> {
    const { world, name, capacityBytes } = this.#options;
    const state = new State(world.home);
    const { key, chain, ca } = await state.loadIdentity("device", name);
    const { pairingSecret } = await state.loadDevice(name);
    return new Board({
      name,
      identity: { key, cert: chain, ca },
      card: new SimCard({
        seed: this.#seed++,
        folder: join(this.folder, "card"),
        ...(capacityBytes === undefined ? {} : { capacityBytes }),
      }),
      relay: { host: "127.0.0.1", port: world.port },
      pairings: [pairingSecret],
      onExit: ({ reason, text }) => {
        throw new Error(`the firmware of ${name} ended by itself: ${reason} ${text}`);
      },
    });
  }
}
