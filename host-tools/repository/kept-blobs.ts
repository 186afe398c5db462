// SPDX-License-Identifier: MIT
/**
 * Sealed index blobs and parts of checkpoints: kept on this computer under their ids, else fetched from a device. Every
 * copy is verified; a damaged one is fetched again.
 */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../firmware/protocol/data-error";
import { Refusal } from "../refusal";
import type { BlobDevice } from "./blob-device";
import { refuseNewerVersion } from "./newer-version";

export class KeptBlobs {
  readonly #folder: string;
  readonly #devices: readonly BlobDevice[];
  readonly #onWarning: (text: string) => void;

  constructor(options: {
    folder: string;
    devices: readonly BlobDevice[];
    onWarning: (text: string) => void;
  }) {
    this.#folder = options.folder;
    this.#devices = options.devices;
    this.#onWarning = options.onWarning;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  /** This computer's copy, when it is whole. */
  kept(id: Uint8Array): Uint8Array | undefined {
    try {
      const blob = readFileSync(this.#path(id));
      return Buffer.compare(hash(blob), id) === 0 ? blob : undefined;
    } catch {
      return undefined;
    }
  }

  /** Keeps one that was just made. */
  keep(id: Uint8Array, blob: Uint8Array): void {
    const path = this.#path(id);
    try {
      writeFileSync(`${path}.tmp`, blob, { mode: 0o600 });
      renameSync(`${path}.tmp`, path);
    } catch {
      // Without the copy it is fetched next time.
    }
  }

  /** Deletes the copies of all but these; names are hexadecimal ids. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const name of readdirSync(this.#folder))
      if (!names.has(name)) rmSync(join(this.#folder, name), { force: true });
  }

  /** What `open` makes of the blob; it throws DataError for a bad one. Undefined when no device has a good one. */
  async read<Value>(
    id: Uint8Array,
    options: {
      /** For messages. */
      what: string;
      maxBytes: number;
      /** Names of the devices to ask first. */
      preferred: readonly string[];
      open: (blob: Uint8Array) => Value;
    },
  ): Promise<Value | undefined> {
    const { what, maxBytes, preferred, open } = options;
    const kept = this.#openKept(id, open);
    if (kept !== undefined) return kept;
    const devices = [...this.#devices].sort(
      (a, b) => Number(preferred.includes(b.name)) - Number(preferred.includes(a.name)),
    );
    for (const device of devices)
      try {
        const blob = await device.get(id, 0, maxBytes);
        if (Buffer.compare(hash(blob), id) !== 0)
          throw new DataError("checksum", "its bytes do not hash to its id");
        const value = open(blob);
        this.keep(id, blob);
        return value;
      } catch (error) {
        const name = Buffer.from(id).toString("hex").slice(0, 16);
        refuseNewerVersion(error, `${what} ${name}`);
        if (!(error instanceof DataError) && !(error instanceof Refusal)) throw error;
        if (error instanceof Refusal && error.kind === "interrupted") throw error;
        if (error instanceof Refusal && error.kind === "missingBlob") continue;
        this.#onWarning(`${what} ${name} on ${device.name} cannot be used: ${error.message}`);
      }
    return undefined;
  }

  #openKept<Value>(id: Uint8Array, open: (blob: Uint8Array) => Value): Value | undefined {
    const blob = this.kept(id);
    try {
      return blob && open(blob);
    } catch {
      return undefined;
    }
  }

  #path(id: Uint8Array): string {
    return join(this.#folder, Buffer.from(id).toString("hex"));
  }
}

function hash(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
