// SPDX-License-Identifier: MIT
/**
 * Frees what no kept version needs, in two phases and without a lock. docs/repository.md "Pruning".
 *
 * First what is needed of badly used packs goes to new ones, and an entry condemns the old ones, the unneeded ones and
 * blobs that nobody names: from then on no push relies on them. When the hold is over, and nothing that was written
 * meanwhile needs them, they are deleted and an entry says so. Every step may be the last: what was condemned stays
 * readable until it is deleted, and the next prune goes on.
 */

import { Refusal } from "../refusal";
import type { BlobDevice } from "./blob-device";
import type { IndexedPack } from "./chunk-index";
import { DataError } from "../../firmware/protocol/data-error";
import { MAX_OPERATION_PACKS, type Operation } from "./log-entry";
import type { PackUploader } from "./pack-uploader";
import { type BlobOnDevice, type PrunePlan, findLive, findNeeded, namedBlobs, planPrune } from "./prune-plan";
import type { PruneOptions, PruneReport, PruneSummary } from "./repository-api";
import type { RepositoryParts } from "./repository-parts";

/** With several writers: far longer than any push is between its last look at the logs and its entry. */
const DEFAULT_HOLD_MS = 3_600_000;
const DEFAULT_MAX_UNUSED = 0.05;

export async function prune(parts: RepositoryParts, options: PruneOptions): Promise<PruneReport> {
  const started = performance.now();
  await parts.refresh();
  if (!parts.isIndexComplete)
    throw new Refusal("missingBlob", "part of the index cannot be read, so nothing is deleted", {
      hint: "Connect the device that the warning names, or repair the repository with `coffer repair`.",
    });
  const holdMs = options.holdMs ?? (parts.logs.logs.size > 1 ? DEFAULT_HOLD_MS : 0);
  // What older entries name is known no more, so devices that still have them get the checkpoint first.
  if (options.isDryRun !== true)
    await parts.bringCheckpoint((device) => !parts.checkpoints.isOn(device.name));
  const plan = await planPrune(parts, options.maxUnused ?? DEFAULT_MAX_UNUSED);
  const summary = summarise(parts, plan, holdMs);
  options.onPlan?.(summary);
  const report = { ...summary, freedBytes: 0, deletedBlobs: 0, seconds: 0 };
  if (options.isDryRun !== true) {
    const job = new PruneJob(parts, plan, options, report);
    await job.deleteDropped();
    if (holdMs > 0) await job.deleteDue(holdMs);
    await job.condemn(holdMs);
    if (holdMs === 0) await job.deleteDue(0);
    parts.blobs.keepOnly(namedBlobs(parts));
  }
  report.seconds = (performance.now() - started) / 1000;
  return report;
}

function summarise(parts: RepositoryParts, plan: PrunePlan, holdMs: number): PruneSummary {
  const sum = (packs: Iterable<{ sizeBytes: number }>): number => {
    let bytes = 0;
    for (const { sizeBytes } of packs) bytes += sizeBytes;
    return bytes;
  };
  const waiting = [...parts.index.packs()].filter(
    (pack) => pack.isCondemned && !plan.needed.has(pack.number),
  );
  const unreferenced = [...plan.unreferenced.values()].flat();
  return {
    packBytes: plan.packBytes,
    deadPacks: plan.dead.length,
    deadBytes: sum(plan.dead),
    repackedPacks: plan.repack.length,
    repackedBytes: sum(plan.repack),
    keptOfRepackedBytes: plan.repackBytes,
    unreferencedBlobs: unreferenced.length,
    unreferencedBytes: sum(unreferenced),
    condemnedPacks: waiting.length,
    condemnedBytes: sum(waiting),
    unusedBytes: plan.unusedBytes,
    holdMs,
  };
}

class PruneJob {
  readonly #parts: RepositoryParts;
  readonly #plan: PrunePlan;
  readonly #options: PruneOptions;
  readonly #report: PruneReport;

  constructor(parts: RepositoryParts, plan: PrunePlan, options: PruneOptions, report: PruneReport) {
    this.#parts = parts;
    this.#plan = plan;
    this.#options = options;
    this.#report = report;
  }

  /** What was dropped while its device was away. */
  async deleteDropped(): Promise<void> {
    for (const [device, blobs] of this.#plan.dropped) await this.#delete(device, blobs);
  }

  /** Phase one: repacks, then an entry with the new packs and the condemned ones. */
  async condemn(holdMs: number): Promise<void> {
    const { dead, repack, unreferenced } = this.#plan;
    const { fate } = this.#parts;
    const ids = [...dead, ...repack].map(({ id }) => id);
    for (const blobs of unreferenced.values())
      for (const { id } of blobs) if (!fate.isCondemned(id)) ids.push(id);
    if (ids.length === 0) return;
    const { condemnations } = fate;
    const uploader = await this.#parts.uploader(undefined);
    try {
      // Repacking takes room: where there is none, what is dead makes some first.
      await this.#repack(uploader);
      await this.#parts
        .committer()
        .commit(inOperations("condemn", ids), [], uploader, { condemnations, isAgain: false });
    } catch (error) {
      await uploader.abandon();
      if (!(error instanceof Refusal) || error.kind !== "cardFull" || holdMs > 0 || dead.length === 0)
        throw error;
      await this.#deletePacks(dead);
      throw new Refusal(
        "cardFull",
        "the card was too full to put packs together; what nothing needs was deleted",
        {
          hint: "Run `coffer prune` again for the rest.",
          cause: error,
        },
      );
    }
    await this.#parts.settle();
  }

  /** Phase two: deletes what was condemned at least `holdMs` ago and is not needed. */
  async deleteDue(holdMs: number): Promise<void> {
    await this.#parts.refresh();
    const due: Buffer[] = [];
    const packs: IndexedPack[] = [];
    const needed = findNeeded(this.#parts, await findLive(this.#parts));
    for (const [id, entry] of this.#parts.fate.condemned) {
      if (Date.now() - entry.timeMs < holdMs) continue;
      const key = Buffer.from(id, "hex");
      const pack = this.#parts.index.packById(key);
      if (pack && needed.has(pack.number)) continue;
      due.push(key);
      if (pack) packs.push(pack);
    }
    if (due.length === 0) return;
    await this.#deletePacks(packs);
    const known = new Set(due.map((id) => id.toString("hex")));
    for (const [device, blobs] of this.#plan.unreferenced)
      await this.#delete(
        device,
        blobs.filter(({ id }) => known.has(Buffer.from(id).toString("hex"))),
      );
    const { condemnations } = this.#parts.fate;
    const uploader = await this.#parts.uploader(undefined);
    await this.#parts
      .committer()
      .commit(inOperations("drop", due), [], uploader, { condemnations, isAgain: false });
    await this.#parts.settle();
  }

  async #deletePacks(packs: readonly IndexedPack[]): Promise<void> {
    for (const device of this.#parts.options.devices)
      await this.#delete(
        device,
        packs.filter((pack) => pack.devices.has(device.name)),
      );
  }

  async #delete(device: BlobDevice, blobs: readonly BlobOnDevice[]): Promise<void> {
    if (blobs.length === 0) return;
    this.#parts.options.signal?.throwIfAborted();
    this.#report.deletedBlobs += await device.delete(blobs.map(({ id }) => id));
    this.#report.freedBytes += blobs.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
  }

  /** The needed chunks of the packs to `commit`'s uploader, each set of devices getting what it has now. */
  async #repack(commit: PackUploader): Promise<void> {
    const { repack, live } = this.#plan;
    const { index, options, cipher } = this.#parts;
    for (const pack of repack) pack.isCondemned = true;
    const groups = new Map<string, IndexedPack[]>();
    for (const pack of repack) {
      const key = [...pack.devices].sort().join(" ");
      groups.set(key, [...(groups.get(key) ?? []), pack]);
    }
    let doneBytes = 0;
    for (const packs of groups.values()) {
      const devices = options.devices.filter(({ name }) => packs[0]?.devices.has(name) === true);
      const uploader = await this.#parts.uploader(undefined, { targets: devices, isDistinct: true });
      try {
        for (const pack of packs) {
          options.signal?.throwIfAborted();
          const bytes = await this.#read(pack, devices);
          const firstEntry = index.firstEntryOf(pack);
          for (const [i, { kind, id, offsetBytes, sealedBytes }] of index.chunksOf(pack).entries()) {
            if (!live.isLive(firstEntry + i)) continue;
            const sealed = bytes.subarray(offsetBytes, offsetBytes + sealedBytes);
            await uploader.offer(kind, Uint8Array.from(id), cipher.open(kind, id, sealed));
          }
          doneBytes += pack.sizeBytes;
          this.#options.onProgress?.(doneBytes, this.#report.repackedBytes);
        }
        await uploader.flush();
      } catch (error) {
        for (const pack of repack) pack.isCondemned = false;
        await uploader.abandon();
        throw error;
      }
      for (const [number, names] of uploader.packs) commit.packs.set(number, names);
    }
  }

  /** A whole pack; the devices verify it by its name on the way. */
  async #read(pack: IndexedPack, devices: readonly BlobDevice[]): Promise<Uint8Array> {
    let failure: unknown;
    for (const device of devices)
      try {
        const bytes = await device.get(pack.id, 0, pack.sizeBytes);
        if (bytes.length === pack.sizeBytes) return bytes;
        failure = new DataError("short", "the pack is shorter than its index says");
      } catch (error) {
        if (!(error instanceof Refusal) || error.kind === "interrupted") throw error;
        failure = error;
      }
    throw new Refusal("corruptedBlob", "a pack that has to be put together anew cannot be read", {
      hint: "Find the damage with `coffer verify` and mend it with `coffer repair`, then prune again.",
      cause: failure,
    });
  }
}

function inOperations(op: "condemn" | "drop", ids: readonly Uint8Array[]): Operation[] {
  const operations: Operation[] = [];
  for (let at = 0; at < ids.length; at += MAX_OPERATION_PACKS)
    operations.push({ op, packs: ids.slice(at, at + MAX_OPERATION_PACKS) });
  return operations;
}
