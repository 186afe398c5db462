// SPDX-License-Identifier: MIT
/** What was found damaged, and what that means for a chunk: is there still a good copy, and where. */

import type { ChunkIndex, IndexedPack } from "../chunk-index";
import type { ChunkKind } from "../repository-keys";

/** "missing": the device does not have it; "shortened": it has another size; "damaged": its bytes are not those stored. */
export type DamageKind = "missing" | "shortened" | "damaged";

export interface PackDamage {
  device: string;
  pack: IndexedPack;
  kind: DamageKind;
  /** For people. */
  reason: string;
  /** Offsets of the chunks that do not open; undefined when it was not read: then none is counted on. */
  badChunks: ReadonlySet<number> | undefined;
}

export interface IndexBlobDamage {
  device: string;
  id: Uint8Array;
  kind: DamageKind;
  reason: string;
}

export interface LogDamage {
  /** Empty: this computer's own copy. */
  device: string;
  text: string;
}

/** Damaged packs of the connected devices. */
export class DamageMap {
  /** By device, then by the pack's number. */
  readonly #byDevice = new Map<string, Map<number, PackDamage>>();

  add(damage: PackDamage): void {
    const packs = this.#byDevice.get(damage.device) ?? new Map<number, PackDamage>();
    packs.set(damage.pack.number, damage);
    this.#byDevice.set(damage.device, packs);
  }

  delete(device: string, pack: IndexedPack): void {
    this.#byDevice.get(device)?.delete(pack.number);
  }

  get(device: string, pack: IndexedPack): PackDamage | undefined {
    return this.#byDevice.get(device)?.get(pack.number);
  }

  all(): PackDamage[] {
    return [...this.#byDevice.values()].flatMap((packs) => [...packs.values()]);
  }

  get size(): number {
    let size = 0;
    for (const packs of this.#byDevice.values()) size += packs.size;
    return size;
  }
}

/**
 * "good": every copy is; "reduced": one is damaged and another is good; "elsewhere": none on the connected devices, and
 * a device that is not connected should have it; "lost": none at all.
 */
export type ChunkState = "good" | "reduced" | "elsewhere" | "lost";

export class ChunkPlaces {
  readonly #index: ChunkIndex;
  readonly #devices: readonly string[];
  readonly #damage: DamageMap;

  /** `devices`: names of those that are connected. */
  constructor(options: { index: ChunkIndex; devices: readonly string[]; damage: DamageMap }) {
    this.#index = options.index;
    this.#devices = options.devices;
    this.#damage = options.damage;
  }

  /** `onDamage` hears of every damaged pack that has the chunk. */
  state(kind: ChunkKind, id: Uint8Array, onDamage?: (damage: PackDamage) => void): ChunkState {
    let good = 0;
    let bad = 0;
    let isElsewhere = false;
    for (const location of this.#index.locations(kind, id)) {
      for (const device of location.pack.devices) {
        if (!this.#devices.includes(device)) {
          isElsewhere = true;
          continue;
        }
        const damage = this.#damage.get(device, location.pack);
        if (!damage || damage.badChunks?.has(location.offsetBytes) === false) {
          good++;
          continue;
        }
        bad++;
        onDamage?.(damage);
      }
    }
    if (good > 0) return bad > 0 ? "reduced" : "good";
    return isElsewhere ? "elsewhere" : "lost";
  }

  /** Whether the device has the chunk in a pack that is whole. */
  isWholeOn(device: string, id: Uint8Array): boolean {
    return this.#index.some(id, (pack) => pack.devices.has(device) && !this.#damage.get(device, pack));
  }
}
