// SPDX-License-Identifier: MIT
import type { Ports, Preferences, Watchdog } from "../../core/io";
import type { TcpClass } from "./guarded-tcp";
import { ModdableCrypto } from "./moddable-crypto";
import { type DeviceIdentity, ModdableNetwork } from "./moddable-network";
import { ModdableStorage } from "./moddable-storage";
import {
  ModdableClock,
  ModdableEntropy,
  ModdableLog,
  ModdableMemoryMeter,
  ModdableReset,
  ModdableTimers,
} from "./moddable-system";

export interface ModdablePortsOptions {
  /** Coffer's folder: below the card's mount point, or of a host. */
  root: string;
  identity: DeviceIdentity;
  tcp: TcpClass;
  preferences: Preferences;
  /** Of the hardware; a host has none. */
  watchdog?: Watchdog;
  maxFragmentBytes?: number;
  print(line: string): void;
}

/** Every port on Moddable. What differs between its platforms comes in. */
export function createModdablePorts(options: ModdablePortsOptions): Ports {
  const { root, identity, tcp, preferences, watchdog, maxFragmentBytes, print } = options;
  const clock = new ModdableClock();
  const timers = new ModdableTimers();
  return {
    clock,
    timers,
    entropy: new ModdableEntropy(),
    log: new ModdableLog(print),
    reset: new ModdableReset(),
    ...(watchdog ? { watchdog } : {}),
    preferences,
    memory: new ModdableMemoryMeter(),
    storage: new ModdableStorage({ root, timers }),
    crypto: new ModdableCrypto(),
    network: new ModdableNetwork({
      tcp,
      identity,
      clock,
      timers,
      ...(maxFragmentBytes === undefined ? {} : { maxFragmentBytes }),
    }),
  };
}
