// SPDX-License-Identifier: MIT
import { BOARD_LIMITS } from "../../core/device-config";
import { DeviceLog } from "../../core/device-log";
import type { Clock, Log, Preferences, Timers } from "../../core/io";
import { Troubles } from "../../core/troubles";
import { ModdableClock, ModdableLog, ModdableTimers } from "./moddable-system";

/** What a platform needs for itself before there is a device; the device shares it, and so can tell what was before it. */
export interface BasePorts {
  clock: Clock;
  timers: Timers;
  log: Log;
  preferences: Preferences;
  troubles: Troubles;
}

export function createBasePorts(print: (line: string) => void, preferences: Preferences): BasePorts {
  const clock = new ModdableClock();
  const { logBytes } = BOARD_LIMITS;
  return {
    clock,
    timers: new ModdableTimers(),
    log: new DeviceLog({ clock, log: new ModdableLog(print), keptBytes: logBytes }),
    preferences,
    troubles: new Troubles({ preferences, clock }),
  };
}
