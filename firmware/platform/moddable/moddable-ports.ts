// SPDX-License-Identifier: MIT
import type { Discovery, Ports, Watchdog } from "../../core/io";
import { LimitedStorage } from "../../core/limited-storage";
import type { BasePorts } from "./base-ports";
import type { TcpClass } from "./guarded-tcp";
import { ModdableCrypto } from "./moddable-crypto";
import { type DeviceIdentity, ModdableNetwork, type ModdableNetworkOptions } from "./moddable-network";
import { ModdableStorage } from "./moddable-storage";
import { ModdableEntropy, ModdableMemoryMeter, ModdableReset } from "./moddable-system";
import type { StorageMedium } from "./storage-medium";

export interface ModdablePortsOptions {
  base: BasePorts;
  /** Coffer's folder: below the card's mount point, or of a host. */
  root: string;
  /** What the folder is on, where that can go away. */
  medium?: StorageMedium;
  /** How much of it may be used; absent: all that is free. */
  capacityBytes?: number;
  identity: DeviceIdentity;
  tcp: TcpClass;
  resolve?: ModdableNetworkOptions["resolve"];
  discovery?: Discovery;
  /** Of the hardware; a host has none. */
  watchdog?: Watchdog;
  maxFragmentBytes?: number;
}

/** Every port on Moddable. What differs between its platforms comes in. */
export function createModdablePorts(options: ModdablePortsOptions): Ports & BasePorts {
  const { base, root, medium, capacityBytes, identity, tcp, resolve, discovery, watchdog } = options;
  const { maxFragmentBytes } = options;
  const { clock, timers } = base;
  const storage = new ModdableStorage({ root, timers, ...(medium === undefined ? {} : { medium }) });
  return {
    ...base,
    entropy: new ModdableEntropy(),
    reset: new ModdableReset(),
    ...(watchdog ? { watchdog } : {}),
    ...(discovery ? { discovery } : {}),
    memory: new ModdableMemoryMeter(),
    storage: capacityBytes === undefined ? storage : new LimitedStorage({ storage, capacityBytes }),
    crypto: new ModdableCrypto(),
    network: new ModdableNetwork({
      tcp,
      identity,
      clock,
      timers,
      ...(resolve === undefined ? {} : { resolve }),
      ...(maxFragmentBytes === undefined ? {} : { maxFragmentBytes }),
    }),
  };
}
