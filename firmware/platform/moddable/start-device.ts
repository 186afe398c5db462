// SPDX-License-Identifier: MIT
/** The device on Moddable, whatever the platform: its identity from the image, its ports from the platform's main. */
import Resource from "Resource";
import { BOARD_LIMITS, type DeviceLimits } from "../../core/device-config";
import { Device } from "../../core/device";
import type { Discovery, Watchdog } from "../../core/io";
import { messageOf } from "../../core/refusal";
import { installAbortHook } from "./abort-hook";
import type { BasePorts } from "./base-ports";
import type { TcpClass } from "./guarded-tcp";
import type { ModdableNetworkOptions } from "./moddable-network";
import { createModdablePorts } from "./moddable-ports";
import type { StorageMedium } from "./storage-medium";

export interface StartOptions {
  base: BasePorts;
  /** Coffer's folder: below the card's mount point, or of a host. */
  root: string;
  /** What the folder is on, where that can go away. */
  medium?: StorageMedium;
  /** How much of it may be used; absent: all that is free. */
  capacityBytes?: number;
  tcp: TcpClass;
  /** Where names have addresses. */
  resolve?: ModdableNetworkOptions["resolve"];
  discovery: Discovery;
  /** Of the hardware; a host has none. */
  watchdog?: Watchdog;
  /** Each time that the relay has been reached. */
  onOnline?(): void;
  /** "esp32" or "simulator". */
  host: string;
  firmwareVersion: string;
  limits?: DeviceLimits;
}

/** What `coffer device add` writes into the folder that the image takes its resources from. */
interface Settings {
  name: string;
  /** Absent: the device looks for one. */
  relay?: { host: string; port: number };
  pairingSecret: string;
}

const FILES = ["relay-authority.der", "device.der", "device-key.der", "device.json"] as const;
/** Asked of the relay, so that a record of TLS and its copy fit beside everything else. */
const MAX_FRAGMENT_BYTES = 4096;

/** Says so, and keeps it for whoever asks the next image. A platform asks first of all: there is nothing to connect for. */
export function lacksIdentity({ log, troubles }: BasePorts): boolean {
  const missing = FILES.filter((name) => !Resource.exists(name));
  if (missing.length === 0) return false;
  troubles.note("image");
  log.write(
    "warn",
    `this image was built without ${missing.join(", ")}: run "coffer device add NAME" and build again`,
  );
  return true;
}

/** Undefined, and a line that says why, when the image holds no identity. */
export function startDevice(options: StartOptions): Device | undefined {
  const { base } = options;
  if (lacksIdentity(base)) return undefined;
  try {
    return assemble(options);
  } catch (error) {
    // Restarting would not help: files of the image that make no sense stay as they are.
    base.troubles.note("image");
    base.log.write(
      "warn",
      `this image cannot run (${messageOf(error)}): make its files anew with "coffer device add NAME" and build again`,
    );
    return undefined;
  }
}

function assemble(options: StartOptions): Device {
  const { base, root, medium, capacityBytes, tcp, resolve, discovery, watchdog } = options;
  const { host, firmwareVersion, limits } = options;
  const settings = JSON.parse(String.fromArrayBuffer(resource("device.json"))) as Settings;
  const { name, relay, pairingSecret } = settings;
  const ports = createModdablePorts({
    base,
    root,
    ...(medium === undefined ? {} : { medium }),
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
    tcp,
    ...(resolve === undefined ? {} : { resolve }),
    discovery,
    ...(watchdog ? { watchdog } : {}),
    identity: {
      relayAuthority: resource("relay-authority.der"),
      certificate: resource("device.der"),
      key: resource("device-key.der"),
    },
    maxFragmentBytes: MAX_FRAGMENT_BYTES,
  });
  installAbortHook(ports);
  const config = {
    name,
    ...(relay ? { relay } : {}),
    firmwareVersion,
    pairings: [bytesOf(pairingSecret)],
    limits: limits ?? BOARD_LIMITS,
  };
  return new Device({
    ...ports,
    config,
    host,
    onState: (state) => {
      if (state === "online") options.onOnline?.();
    },
  });
}

/** A copy: TLS keeps it, and what is in flash cannot be passed on everywhere. */
function resource(name: (typeof FILES)[number]): ArrayBuffer {
  return new Resource(name).slice(0) as ArrayBuffer;
}

function bytesOf(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
