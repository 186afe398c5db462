// SPDX-License-Identifier: MIT
/**
 * What this computer remembers between commands so that no device can take anything back unseen: for each device the
 * heads of the logs that it had, and for each log how far its signatures were checked. One file, heads.json, with an
 * HMAC under a key of the repository: whoever can write files here but has no passphrase cannot make it say less.
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writePrivateFile } from "../private-files";
import type { RepositoryKeys } from "./repository-keys";

const FILE_VERSION = 1;

export interface RememberedHead {
  count: number;
  /** Hexadecimal. */
  head: string;
}

interface Heads {
  version: number;
  /** Device, then log in hexadecimal. */
  devices: Record<string, Record<string, RememberedHead>>;
  verified: Record<string, RememberedHead>;
  /** The key log on each device. */
  keyLogs: Record<string, RememberedHead>;
  /** The checkpoint log on each device. */
  checkpointLogs: Record<string, RememberedCheckpoints>;
}

export interface RememberedCheckpoints extends RememberedHead {
  /** Hash of the newest snapshot on the device that is good, and the writer that vouches for it; hexadecimal, or "". */
  snapshot: string;
  by: string;
}

export class LocalState {
  readonly #path: string;
  readonly #keys: RepositoryKeys;
  #heads: Heads = { version: FILE_VERSION, devices: {}, verified: {}, keyLogs: {}, checkpointLogs: {} };
  #isChanged = false;

  constructor(options: { folder: string; keys: RepositoryKeys }) {
    this.#path = join(options.folder, "heads.json");
    this.#keys = options.keys;
  }

  /** False when there was a file and it could not be used: what was remembered is lost. */
  async load(): Promise<boolean> {
    let text: string;
    try {
      text = await readFile(this.#path, "utf8");
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ENOENT";
    }
    const cut = text.indexOf("\n");
    const mac = Buffer.from(text.slice(0, Math.max(cut, 0)), "hex");
    const body = text.slice(cut + 1);
    if (mac.length !== 32 || !timingSafeEqual(mac, this.#mac(body))) return false;
    const heads = JSON.parse(body) as Heads;
    if (heads.version !== FILE_VERSION) return false;
    this.#heads = heads;
    return true;
  }

  async save(): Promise<void> {
    if (!this.#isChanged) return;
    const body = JSON.stringify(this.#heads);
    await writePrivateFile(this.#path, `${this.#mac(body).toString("hex")}\n${body}`);
    this.#isChanged = false;
  }

  deviceHead(device: string, log: string): RememberedHead | undefined {
    return this.#heads.devices[device]?.[log];
  }

  /** Logs that the device had when it was last seen. */
  deviceLogs(device: string): string[] {
    return Object.keys(this.#heads.devices[device] ?? {});
  }

  setDeviceHead(device: string, log: string, head: RememberedHead): void {
    const known = this.deviceHead(device, log);
    if (known?.count === head.count && known.head === head.head) return;
    (this.#heads.devices[device] ??= {})[log] = head;
    this.#isChanged = true;
  }

  /** The device may start anew: its card was replaced. */
  forgetDevice(device: string): void {
    const { devices, keyLogs, checkpointLogs } = this.#heads;
    if (!devices[device] && !keyLogs[device] && !checkpointLogs[device]) return;
    this.#heads.devices = without(devices, device);
    this.#heads.keyLogs = without(keyLogs, device);
    this.#heads.checkpointLogs = without(checkpointLogs, device);
    this.#isChanged = true;
  }

  keyLogHead(device: string): RememberedHead | undefined {
    return this.#heads.keyLogs[device];
  }

  setKeyLogHead(device: string, head: RememberedHead): void {
    const known = this.keyLogHead(device);
    if (known?.count === head.count && known.head === head.head) return;
    this.#heads.keyLogs[device] = head;
    this.#isChanged = true;
  }

  checkpointLog(device: string): RememberedCheckpoints | undefined {
    return this.#heads.checkpointLogs[device];
  }

  setCheckpointLog(device: string, log: RememberedCheckpoints): void {
    const known = this.checkpointLog(device);
    if (known?.head === log.head && known.snapshot === log.snapshot && known.by === log.by) return;
    this.#heads.checkpointLogs[device] = log;
    this.#isChanged = true;
  }

  verifiedHead(log: string): RememberedHead | undefined {
    return this.#heads.verified[log];
  }

  setVerifiedHead(log: string, head: RememberedHead): void {
    const known = this.verifiedHead(log);
    if (known?.count === head.count && known.head === head.head) return;
    this.#heads.verified[log] = head;
    this.#isChanged = true;
  }

  #mac(body: string): Buffer {
    return createHmac("sha256", this.#keys.localKey).update("heads 1\n").update(body).digest();
  }
}

function without<Value>(record: Record<string, Value>, name: string): Record<string, Value> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));
}
