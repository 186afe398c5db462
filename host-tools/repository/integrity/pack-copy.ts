// SPDX-License-Identifier: MIT
/**
 * Brings damaged packs back from another device, bit by bit. The damaged blob has to go first, because a device keeps
 * what it has under an id; it goes only when the whole pack is in memory and has been verified.
 */

import { createHash } from "node:crypto";
import { Refusal } from "../../refusal";
import type { BlobDevice } from "../blob-device";
import type { IndexedPack } from "../chunk-index";
import type { RepositoryParts } from "../repository-parts";
import type { DamageMap } from "./damage";
import { PackChecker } from "./pack-check";

/** Larger packs, which no writer makes, are rebuilt chunk by chunk. */
const MAX_COPIED_BYTES = 32 * 1024 * 1024;
/** Copies under way: 48 MiB of the packs that writers make. */
const PARALLEL = 3;

export interface PackToCopy {
  device: BlobDevice;
  pack: IndexedPack;
}

export class PackCopier {
  copiedBytes = 0;
  /** Copied, or with a dry run: could be copied. */
  readonly copied: PackToCopy[] = [];
  readonly #parts: RepositoryParts;
  readonly #damage: DamageMap;
  readonly #isDryRun: boolean;
  readonly #onCopied: () => void;

  constructor(options: {
    parts: RepositoryParts;
    damage: DamageMap;
    isDryRun: boolean;
    onCopied: () => void;
  }) {
    this.#parts = options.parts;
    this.#damage = options.damage;
    this.#isDryRun = options.isDryRun;
    this.#onCopied = options.onCopied;
  }

  /** A source that turns out to be damaged itself is added to the damage, and to what is copied. */
  async copy(packs: readonly PackToCopy[]): Promise<void> {
    const waiting = [...packs];
    const worker = async (): Promise<void> => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        this.#parts.options.signal?.throwIfAborted();
        waiting.push(...(await this.#copy(next)));
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, packs.length) }, worker));
  }

  async #copy({ device, pack }: PackToCopy): Promise<PackToCopy[]> {
    const foundDamaged: PackToCopy[] = [];
    for (const source of this.#parts.options.devices) {
      const isGood = pack.devices.has(source.name) && !this.#damage.get(source.name, pack);
      if (source === device || !isGood || pack.sizeBytes > MAX_COPIED_BYTES) continue;
      if (!this.#isDryRun) {
        const bytes = await this.#read(source, pack);
        if (!bytes) {
          foundDamaged.push({ device: source, pack });
          continue;
        }
        await device.delete([pack.id]);
        await device.put(pack.id, [bytes]);
        this.copiedBytes += bytes.length;
        this.#onCopied();
      }
      this.copied.push({ device, pack });
      this.#damage.delete(device.name, pack);
      break;
    }
    return foundDamaged;
  }

  async #read(source: BlobDevice, pack: IndexedPack): Promise<Uint8Array | undefined> {
    try {
      const bytes = await source.get(pack.id, 0, pack.sizeBytes);
      if (createHash("sha256").update(bytes).digest().equals(pack.id)) return bytes;
    } catch (error) {
      if (!(error instanceof Refusal) || !["corruptedBlob", "missingBlob", "cardFailed"].includes(error.kind))
        throw error;
    }
    const { keys, cipher, index } = this.#parts;
    const found = await new PackChecker({ keys, cipher, index }).check(source, pack);
    if (found) this.#damage.add(found);
    return undefined;
  }
}
