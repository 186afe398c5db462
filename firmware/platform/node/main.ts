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
import type { Discovery, Log, Preferences } from "../../core/io";
import { LimitedStorage } from "../../core/limited-storage";
import { exceptionText, reportException } from "../../core/start-record";
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
  /** How much of the disk its files may take, bytes, more than 0. Absent: all that is free. */
  capacityBytes?: number;
  log(line: string): void;
  signal: AbortSignal;
  onState?(state: "offline" | "online"): void;
  /** Tells of what nobody caught in this process, until what it returns is called. Absent: the process is not only a node. */
  watchUncaught?(onUncaught: (error: unknown) => void): () => void;
}

/** The firmware has ended by an exception; the next start will tell. */
export class FirmwareException extends Error {
  override readonly name = "FirmwareException";
}

/** What `status` says; the release process sets it with the package's version. */
const FIRMWARE_VERSION = "0.1.0";

/**
 * Serves until `signal` is aborted. Throws LockedError when another process serves the folder, FirmwareException after
 * what nobody caught. A device that wants to be started anew is, in this process.
 */
export async function runNode(options: NodeOptions): Promise<void> {
  const { folder, signal } = options;
  mkdirSync(join(folder, "card"), { recursive: true, mode: 0o700 });
  const unlock = takeLock(join(folder, "lock"));
  const preferences = new FilePreferences({ path: join(folder, "preferences.json") });
  const log = nodeLog((line) => {
    options.log(line);
  });
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => undefined); // it may come when nobody waits any more
  const unwatch = options.watchUncaught?.((error) => {
    reportException({ log, preferences }, error);
    fail(new FirmwareException(exceptionText(error), { cause: error }));
  });
  try {
    while (!signal.aborted) await runOnce(options, { log, preferences, failed });
  } finally {
    unwatch?.();
    unlock();
  }
}

interface Life {
  log: Log;
  preferences: Preferences;
  /** Rejects when it ends by an exception. */
  failed: Promise<never>;
}

/** One start of the device: until `signal` is aborted, or it wants another one. */
async function runOnce(options: NodeOptions, { log, preferences, failed }: Life): Promise<void> {
  const { folder, signal, capacityBytes } = options;
  const storage = new FolderStorage({ root: join(folder, "card") });
  let stop = (): void => undefined;
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  signal.addEventListener("abort", stop, { once: true });
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
    log,
    reset: nodeReset(stop),
    preferences,
    memory: nodeMemory,
    storage: capacityBytes === undefined ? storage : new LimitedStorage({ storage, capacityBytes }),
    crypto: nodeCrypto,
    network: new TlsNetwork({ identity: options.identity }),
    ...(options.discovery ? { discovery: options.discovery } : {}),
    onState: (state) => {
      options.onState?.(state);
    },
  });
  try {
    await Promise.race([stopped, failed]);
  } finally {
    signal.removeEventListener("abort", stop);
    device.close();
  }
}
