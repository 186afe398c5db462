// SPDX-License-Identifier: MIT
/**
 * Which blobs were found damaged by reading them, kept on this computer until they are repaired: what `verify
 * --read-data` took hours to find, `repair` must not have to look for again. A hint and no more: these blobs are read
 * again before anything is concluded.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writePrivateFile } from "../../private-files";

const FILE_VERSION = 1;
/** More are found again by reading everything. */
const MAX_BLOBS = 100_000;

interface FoundFile {
  version: number;
  /** Device, then ids in hexadecimal. */
  devices: Record<string, string[]>;
}

export class FoundDamage {
  readonly #path: string;
  readonly #devices = new Map<string, ReadonlySet<string>>();

  static async load(folder: string): Promise<FoundDamage> {
    const found = new FoundDamage(folder);
    try {
      const file = JSON.parse(await readFile(found.#path, "utf8")) as FoundFile;
      if (file.version !== FILE_VERSION) return found;
      for (const [device, ids] of Object.entries(file.devices)) found.#devices.set(device, new Set(ids));
    } catch {
      // Without it everything has to be read again to be found.
    }
    return found;
  }

  private constructor(folder: string) {
    this.#path = join(folder, "damage.json");
  }

  has(device: string, id: Uint8Array): boolean {
    return this.#devices.get(device)?.has(Buffer.from(id).toString("hex")) === true;
  }

  /** Replaces what is known of a device. */
  async set(device: string, ids: readonly Uint8Array[]): Promise<void> {
    if (ids.length === 0 && !this.#devices.has(device)) return;
    const kept = ids.slice(0, MAX_BLOBS).map((id) => Buffer.from(id).toString("hex"));
    if (kept.length === 0) this.#devices.delete(device);
    else this.#devices.set(device, new Set(kept));
    const devices = Object.fromEntries([...this.#devices].map(([name, blobs]) => [name, [...blobs]]));
    await writePrivateFile(this.#path, JSON.stringify({ version: FILE_VERSION, devices }));
  }
}
