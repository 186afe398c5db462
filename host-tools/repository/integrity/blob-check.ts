// SPDX-License-Identifier: MIT
/**
 * What a device says that it has, against what the index and the entries say that it has: by listing its blobs, and by
 * asking about each. Nothing is downloaded.
 */

import type { BlobDevice } from "../blob-device";
import type { IndexedPack } from "../chunk-index";
import type { RepositoryParts } from "../repository-parts";
import type { DamageMap, IndexBlobDamage } from "./damage";

/** Asked about at once: sixteen requests of a device client. */
const BATCH = 1600;

export interface DeviceBlobs {
  name: string;
  /** That the index says are on the device, and their bytes. */
  packs: number;
  packBytes: number;
  indexBlobs: number;
  /** Blobs that nothing says should be there: of an interrupted push, replaced by a repair, or not Coffer's. */
  unreferenced: number;
  unreferencedBytes: number;
}

export async function checkBlobs(
  parts: RepositoryParts,
  device: BlobDevice,
  damage: DamageMap,
  indexDamage: IndexBlobDamage[],
): Promise<DeviceBlobs> {
  const indexBlobs = indexBlobsOn(parts, device.name);
  const found = {
    name: device.name,
    packs: 0,
    packBytes: 0,
    indexBlobs: indexBlobs.length,
    unreferenced: 0,
    unreferencedBytes: 0,
  };
  const expected = new Set(indexBlobs.map(hex));
  for await (const { id, sizeBytes } of device.list()) {
    parts.options.signal?.throwIfAborted();
    const pack = parts.index.packById(id);
    if (pack?.devices.has(device.name)) {
      if (sizeBytes !== pack.sizeBytes) damage.add(shortened(device.name, pack, sizeBytes));
    } else if (!expected.has(hex(id))) {
      found.unreferenced++;
      found.unreferencedBytes += sizeBytes;
    }
  }
  const claimed = [...parts.index.packs()].filter((pack) => pack.devices.has(device.name));
  for (let at = 0; at < claimed.length; at += BATCH) {
    parts.options.signal?.throwIfAborted();
    const batch = claimed.slice(at, at + BATCH);
    const answers = await device.has(batch.map((pack) => pack.id));
    batch.forEach((pack, i) => {
      found.packs++;
      found.packBytes += pack.sizeBytes;
      // A prune that was interrupted has deleted condemned ones and not said so yet.
      if (answers[i] === true || pack.isCondemned) return;
      const reason = "it is not there";
      damage.add({ device: device.name, pack, kind: "missing", reason, badChunks: undefined });
    });
  }
  const answers = await device.has(indexBlobs);
  indexBlobs.forEach((id, i) => {
    if (answers[i] !== true)
      indexDamage.push({ device: device.name, id, kind: "missing", reason: "it is not there" });
  });
  return found;
}

/** Index blobs that entries say are on a device, and those of the checkpoint and its parts. */
export function indexBlobsOn(parts: RepositoryParts, device: string): Uint8Array[] {
  if (parts.options.forgetDevices?.includes(device) === true) return [];
  const ids = new Map<string, Uint8Array>();
  for (const log of parts.logs.logs.values())
    for (const { index, devices } of log.uncovered)
      if (!(index instanceof Uint8Array) && devices.includes(device))
        for (const id of index) if (!parts.index.isLost(id, device)) ids.set(hex(id), id);
  if (parts.checkpoints.isOn(device)) for (const id of parts.checkpoints.blobIds()) ids.set(hex(id), id);
  return [...ids.values()];
}

function shortened(device: string, pack: IndexedPack, sizeBytes: number): Parameters<DamageMap["add"]>[0] {
  const reason = `it has ${String(sizeBytes)} bytes instead of ${String(pack.sizeBytes)}`;
  return { device, pack, kind: "shortened", reason, badChunks: undefined };
}

function hex(id: Uint8Array): string {
  return Buffer.from(id).toString("hex");
}
