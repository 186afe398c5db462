// SPDX-License-Identifier: MIT
import type { Clock, Log, Timers } from "../../core/io";
import { ModdableClock, ModdableLog, ModdableTimers } from "./moddable-system";

/** What a platform needs for itself before there is a device; the device shares it. */
export interface BasePorts {
  clock: Clock;
  timers: Timers;
  log: Log;
}

export function createBasePorts(print: (line: string) => void): BasePorts {
  return { clock: new ModdableClock(), timers: new ModdableTimers(), log: new ModdableLog(print) };
}
