// SPDX-License-Identifier: MIT
/** A device that runs on this computer until it is told to stop: what `coffer sim` does. */
import { mkdir } from "node:fs/promises";

import type { RelayAddress } from "../firmware/core/device-config";
import type { Discovery, LogLevel } from "../firmware/core/io";
import { Board } from "./board";
import { type BuildProgress, xsBoardProgram } from "./xs-build";
import type { XsCounters } from "./xs-counters";
import type { XsExit } from "./xs-exit";
import type { BoardIdentity } from "./sim-network";

export interface SimOptions {
  /** As in the device's certificate. */
  name: string;
  /** PEM: the device's key, its certificate with its authority's, and the authority of the relays it trusts. */
  identity: BoardIdentity;
  /** Pairing secrets, 32 bytes each. */
  pairings: readonly Uint8Array[];
  /** Where the relay is; absent: `discovery` finds it. */
  relay?: RelayAddress;
  discovery?: Discovery;
  /** A folder that is the card; made when it is not there. The settings in flash lie beside it, in `<card>.flash.json`. */
  card: string;
  /** One line of the device's log. */
  onLog?: (level: LogLevel, message: string) => void;
  /** The connection to the relay is up or down. */
  onState?: (state: "offline" | "online") => void;
  /** The firmware ended by itself (an exception, no memory) and is started again after `RESTART_MS`, as a device would. */
  onExit?: (exit: XsExit) => void;
  /** While the engine is compiled, the first time. */
  onBuild?: BuildProgress;
  /** HOST:PORT of a waiting xsbug. */
  xsbug?: string;
  /** Ends it: the plug is pulled. */
  signal?: AbortSignal;
}

/** What the device used, at the end. */
export interface SimReport {
  counters?: XsCounters;
  /** How often the firmware ended by itself. */
  restarts: number;
}

/** A device that fails at once would otherwise fail without a pause. */
const RESTART_MS = 1000;

/** Resolves when `signal` has ended it. Rejects when the engine cannot be built or the firmware cannot start at all. */
export async function runSim(options: SimOptions): Promise<SimReport> {
  const { card, signal, onBuild, onLog, onState, xsbug } = options;
  await xsBoardProgram(onBuild);
  await mkdir(card, { recursive: true });
  let restarts = 0;
  let timer: NodeJS.Timeout | undefined;
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  const board = new Board({
    name: options.name,
    identity: options.identity,
    pairings: options.pairings,
    ...(options.relay ? { relay: options.relay } : {}),
    ...(options.discovery ? { discovery: options.discovery } : {}),
    cardFolder: card,
    preferencesFile: `${card.replace(/[/\\]+$/, "")}.flash.json`,
    ...(onLog ? { onLog } : {}),
    ...(onState ? { onState } : {}),
    ...(xsbug === undefined ? {} : { xsbug }),
    onExit: (exit) => {
      options.onExit?.(exit);
      restarts++;
      timer = setTimeout(() => {
        board.boot().catch(() => undefined); // it ended again before it had started: onExit has told
      }, RESTART_MS);
    },
  });
  const stopped = new Promise<void>((resolve) => {
    if (signal?.aborted === true) resolve();
    signal?.addEventListener(
      "abort",
      () => {
        resolve();
      },
      { once: true },
    );
  });
  try {
    const started = board.boot().catch((error: unknown) => {
      if (signal?.aborted !== true) fail(error);
    });
    await Promise.race([Promise.all([started, stopped]), failed]);
  } finally {
    clearTimeout(timer);
    await board.cutPower();
  }
  return { restarts, ...(board.counters ? { counters: board.counters } : {}) };
}
