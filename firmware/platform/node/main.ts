// SPDX-License-Identifier: MIT
/**
 * A host node: the firmware's core on Node, over a folder. What lies in the folder: `card/` (as on a board's card),
 * `preferences.json`, `lock`.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Device } from "../../core/device";
import { HOST_LIMITS } from "../../core/device-config";
import type { DeviceLimits, RelayAddress } from "../../core/device-config";
import type { Discovery } from "../../core/io";
import { FilePreferences } from "./file-preferences";
import { FolderStorage } from "./folder-storage";
import { takeLock } from "./lock-file";
import { nodeCrypto, nodeEntropy } from "./node-crypto";
import { nodeClock, nodeLog, nodeMemory, nodeReset, nodeTimers } from "./node-ports";
import { TlsNetwork } from "./tls-network";
import type { TlsIdentity } from "./tls-network";

export interface NodeOptions {
  folder: string;
  /** As in the certificate. */
  name: string;
  identity: TlsIdentity;
  pairingSecrets: readonly Uint8Array[];
  /** Absent: by discovery. */
  relay?: RelayAddress;
  discovery?: Discovery;
  limits?: DeviceLimits;
  log(line: string): void;
  signal: AbortSignal;
  onState?(state: "offline" | "online"): void;
}

/** What `status` says; the release process sets it with the package's version. */
const FIRMWARE_VERSION = "0.1.0";

/** Serves until `signal` is aborted. Throws LockedError when another process serves the folder. */
export async function runNode(options: NodeOptions): Promise<void> {
  const { folder, signal } = options;
  const root = join(folder, "card");
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const unlock = takeLock(join(folder, "lock"));
  try {
    const stop = new AbortController();
    const isStopped = new Promise<void>((resolve) => {
      const end = (): void => {
        resolve();
      };
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
      stop.signal.addEventListener("abort", end, { once: true });
    });
    const device = new Device({
      config: {
        name: options.name,
        firmwareVersion: FIRMWARE_VERSION,
        ...(options.relay ? { relay: options.relay } : {}),
        pairings: options.pairingSecrets,
        limits: options.limits ?? HOST_LIMITS,
      },
      host: "node",
      clock: nodeClock,
      timers: nodeTimers,
      entropy: nodeEntropy,
      log: nodeLog((line) => {
        options.log(line);
      }),
      reset: nodeReset(() => {
        stop.abort();
      }),
      preferences: new FilePreferences({ path: join(folder, "preferences.json") }),
      memory: nodeMemory,
      storage: new FolderStorage({ root }),
      crypto: nodeCrypto,
      network: new TlsNetwork({ identity: options.identity }),
      ...(options.discovery ? { discovery: options.discovery } : {}),
      onState: (state) => {
        options.onState?.(state);
      },
    });
    await isStopped;
    device.close();
  } finally {
    unlock();
  }
}
