// SPDX-License-Identifier: MIT
/** Downloads packs, all or a random part of them, and checks every byte; a few at once, whatever devices they are on. */

import { randomInt } from "node:crypto";
import type { BlobDevice } from "../blob-device";
import type { IndexedPack } from "../chunk-index";
import type { RepositoryParts } from "../repository-parts";
import type { DamageMap } from "./damage";
import { PackChecker } from "./pack-check";

/** Each holds two buffers of the largest chunk: about 33 MiB together. */
const PARALLEL = 4;

export interface PackToRead {
  device: BlobDevice;
  pack: IndexedPack;
}

/** Packs that the device should have and of which nothing bad is known: `percent` of them, by chance, at least one. */
export function choosePacks(
  parts: RepositoryParts,
  device: BlobDevice,
  damage: DamageMap,
  percent: number,
): PackToRead[] {
  const packs = [...parts.index.packs()].filter(
    (pack) => pack.devices.has(device.name) && !damage.get(device.name, pack),
  );
  const count =
    percent >= 100 ? packs.length : Math.min(packs.length, Math.ceil((packs.length * percent) / 100));
  // The first `count` of a shuffle.
  for (let at = 0; at < count && count < packs.length; at++) {
    const other = randomInt(at, packs.length);
    const [a, b] = [packs[at], packs[other]];
    if (a && b) [packs[at], packs[other]] = [b, a];
  }
  return packs.slice(0, count).map((pack) => ({ device, pack }));
}

/** Adds to `damage` what it finds. */
export async function checkPacks(options: {
  parts: RepositoryParts;
  packs: readonly PackToRead[];
  damage: DamageMap;
  onReceived: (bytes: number) => void;
  onPack: (read: PackToRead) => void;
}): Promise<void> {
  const { parts, packs, damage, onReceived, onPack } = options;
  const { keys, cipher, index } = parts;
  let next = 0;
  const worker = async (): Promise<void> => {
    const checker = new PackChecker({ keys, cipher, index, onReceived, signal: parts.options.signal });
    for (let read = packs[next++]; read; read = packs[next++]) {
      const found = await checker.check(read.device, read.pack);
      if (found) damage.add(found);
      onPack(read);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, packs.length) }, worker));
}
