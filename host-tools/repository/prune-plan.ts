// SPDX-License-Identifier: MIT
/** What a prune would do, found without changing anything. docs/repository.md "Pruning". */

import type { BlobDevice } from "./blob-device";
import type { IndexedPack } from "./chunk-index";
import { directItems } from "./content";
import { EntrySet } from "./entry-set";
import { LiveChunks } from "./live-chunks";
import type { RepositoryParts } from "./repository-parts";

/** Packs below a sixteenth of what devices like are put together, as soon as there are that many. */
const SMALL_SHARE = 16;
const MANY_SMALL = 16;

export interface BlobOnDevice {
  id: Uint8Array;
  sizeBytes: number;
}

export interface PrunePlan {
  live: LiveChunks;
  /** Packs that nothing kept needs. */
  dead: IndexedPack[];
  /** Packs of which little is needed, or that are small: what is needed of them goes to new packs. */
  repack: IndexedPack[];
  /** Needed sealed bytes in `repack`. */
  repackBytes: number;
  /** Numbers of packs that were condemned before, but a version that is kept needs them after all. */
  needed: EntrySet;
  /** On these devices, in no index: left by interrupted pushes, or being pushed just now. */
  unreferenced: Map<BlobDevice, BlobOnDevice[]>;
  /** On these devices, though dropped: they were not connected then. */
  dropped: Map<BlobDevice, BlobOnDevice[]>;
  /** All packs on these devices, counted once. */
  packBytes: number;
  /** What stays in packs without being needed. */
  unusedBytes: number;
}

interface PartlyUsed {
  pack: IndexedPack;
  liveBytes: number;
  deadBytes: number;
  isSmall: boolean;
}

/** `maxUnused`: share of all packs' bytes that may stay unneeded, 0..1. */
export async function planPrune(parts: RepositoryParts, maxUnused: number): Promise<PrunePlan> {
  const live = await findLive(parts);
  const plan: PrunePlan = {
    live,
    dead: [],
    repack: [],
    repackBytes: 0,
    needed: findNeeded(parts, live),
    unreferenced: new Map(),
    dropped: new Map(),
    packBytes: 0,
    unusedBytes: 0,
  };
  const partly: PartlyUsed[] = [];
  const connected = new Set(parts.options.devices.map(({ name }) => name));
  const smallBytes = (await parts.packTargetBytes()) / SMALL_SHARE;
  for (const pack of parts.index.packs()) {
    if (pack.isDropped || pack.isCondemned) continue;
    const { liveBytes, deadBytes } = live.bytesOf(pack);
    if (![...pack.devices].some((name) => connected.has(name))) continue;
    plan.packBytes += pack.sizeBytes;
    if (liveBytes === 0) plan.dead.push(pack);
    else {
      plan.unusedBytes += deadBytes;
      // A copy on a device that is not here could not be made anew.
      if ([...pack.devices].every((name) => connected.has(name)))
        partly.push({ pack, liveBytes, deadBytes, isSmall: pack.sizeBytes < smallBytes });
    }
  }
  choosePartly(plan, partly, maxUnused);
  await findBlobs(parts, plan);
  return plan;
}

/** What the present state, all kept versions and the entries themselves need. */
export async function findLive(parts: RepositoryParts): Promise<LiveChunks> {
  const { index, trees, state, logs, history, options } = parts;
  const live = new LiveChunks({ index, trees, signal: options.signal });
  await live.addTree(state.root);
  await history.requireComplete();
  const versions = await history.kept();
  for (const version of versions) await live.addTree(version.root);
  const bodies = new Set(versions.map(({ body }) => body));
  for (const log of logs.logs.values()) for (const body of log.accepted) bodies.add(body);
  for (const { detail } of bodies)
    if (!(detail instanceof Uint8Array))
      for (const { id } of directItems(detail.content, detail.sizeBytes) ?? []) if (id) live.addId(id);
  return live;
}

/** Numbers of condemned packs with a chunk that is needed and nowhere else. */
export function findNeeded({ index }: RepositoryParts, live: LiveChunks): EntrySet {
  const isElsewhere = (id: Uint8Array): boolean =>
    index.some(id, (other) => !other.isCondemned && !other.isDropped && other.devices.size > 0);
  const needed = new EntrySet(index.packCount);
  for (const pack of index.packs()) {
    if (!pack.isCondemned || pack.isDropped) continue;
    const firstEntry = index.firstEntryOf(pack);
    if (index.chunksOf(pack).some(({ id }, i) => live.isLive(firstEntry + i) && !isElsewhere(id)))
      needed.add(pack.number);
  }
  return needed;
}

/** The emptiest first, until little enough is unneeded; and small ones, when there are many. */
function choosePartly(plan: PrunePlan, partly: PartlyUsed[], maxUnused: number): void {
  const areManySmall = partly.filter(({ isSmall }) => isSmall).length >= MANY_SMALL;
  partly.sort((a, b) => b.deadBytes / b.pack.sizeBytes - a.deadBytes / a.pack.sizeBytes);
  const allowedBytes = plan.packBytes * maxUnused;
  for (const { pack, liveBytes, deadBytes, isSmall } of partly) {
    if ((deadBytes === 0 || plan.unusedBytes <= allowedBytes) && !(isSmall && areManySmall)) continue;
    plan.repack.push(pack);
    plan.repackBytes += liveBytes;
    plan.unusedBytes -= deadBytes;
  }
}

/** Hexadecimal ids of index blobs and parts of checkpoints that are in use. */
export function namedBlobs({ checkpoints, logs }: RepositoryParts): Set<string> {
  const named = new Set([...checkpoints.blobIds(), ...checkpoints.blobIds(checkpoints.current)].map(hex));
  for (const log of logs.logs.values())
    for (const { index } of log.uncovered)
      if (!(index instanceof Uint8Array)) for (const id of index) named.add(hex(id));
  return named;
}

async function findBlobs(parts: RepositoryParts, plan: PrunePlan): Promise<void> {
  const { checkpoints } = parts;
  const named = namedBlobs(parts);
  for (const device of parts.options.devices) {
    // Without the checkpoint it may still have index blobs that only older entries name.
    const mayHaveOlder = checkpoints.current !== undefined && !checkpoints.isOn(device.name);
    const unreferenced: BlobOnDevice[] = [];
    const dropped: BlobOnDevice[] = [];
    for await (const blob of device.list()) {
      const pack = parts.index.packById(blob.id);
      if (pack?.isDropped === true) dropped.push(blob);
      else if (!pack && !mayHaveOlder && !named.has(hex(blob.id))) unreferenced.push(blob);
    }
    plan.unreferenced.set(device, unreferenced);
    plan.dropped.set(device, dropped);
  }
}

function hex(id: Uint8Array): string {
  return Buffer.from(id).toString("hex");
}
