// SPDX-License-Identifier: MIT
import type { Ports } from "../../core/io";
import type { HostLink } from "./host-link";
import { XsCrypto } from "./xs-crypto";
import { XsDiscovery, XsNetwork } from "./xs-network";
import { XsStorage } from "./xs-storage";
import {
  XsClock,
  XsEntropy,
  XsLog,
  XsMemoryMeter,
  XsPreferences,
  XsReset,
  XsTimers,
  XsWatchdog,
} from "./xs-system";

/** Every port of the XS board over one link to Node. */
export function createXsPorts(link: HostLink): Ports {
  return {
    clock: new XsClock(link),
    timers: new XsTimers(link),
    entropy: new XsEntropy(link),
    log: new XsLog(),
    reset: new XsReset(link),
    watchdog: new XsWatchdog(link),
    preferences: new XsPreferences(link),
    memory: new XsMemoryMeter(),
    storage: new XsStorage(link),
    crypto: new XsCrypto(link),
    network: new XsNetwork(link),
    discovery: new XsDiscovery(link),
  };
}
