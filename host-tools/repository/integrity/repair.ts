// SPDX-License-Identifier: MIT
/**
 * Puts right what an examination finds, as far as anybody still has it: whole packs from another device, chunks from any
 * good place or from this computer's cache, chunks made again from local files. What a device lost for good is written
 * down, so that nobody counts on it. docs/repository.md "Repair".
 *
 * Order is everything: nothing that may be the last copy is deleted, and the entry that tells where the new packs are
 * comes after they are durable. An interrupted repair has changed nothing but for the better.
 */

import { chunkKey } from "../chunk-fetcher";
import type { IndexedPack } from "../chunk-index";
import { MAX_OPERATION_PACKS, type Operation } from "../log-entry";
import type { PackUploader } from "../pack-uploader";
import type { Problem, Progress } from "../repository-api";
import type { ChunkKind } from "../repository-keys";
import type { RepositoryParts } from "../repository-parts";
import { ChunkRepair } from "./chunk-repair";
import type { ChunkState, IndexBlobDamage } from "./damage";
import { Examination } from "./examination";
import { readIndexBlob } from "./index-blob-check";
import { PackCopier, type PackToCopy } from "./pack-copy";
import { DamageSurvey } from "./survey";
import { type DamageReport, isWhole, lostDetails } from "./verify";

export interface RepairOptions {
  /** Local files and folders that may still have what is lost. */
  paths?: readonly string[] | undefined;
  /** Tells what would be done, and does nothing. */
  isDryRun?: boolean | undefined;
  /** How many of a hundred packs are read in search of damage, besides those that were found damaged before. */
  readPercent?: number | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export interface RepairReport {
  isDryRun: boolean;
  /** Nothing that any version needs is damaged any more. */
  isWhole: boolean;
  /** Packs and index blobs that were damaged or missing. */
  damagedPacks: number;
  damagedIndexBlobs: number;
  /** Brought back whole from another device, and what that took. */
  copiedPacks: number;
  copiedBytes: number;
  restoredIndexBlobs: number;
  /** Taken from other packs, from what is good in a damaged one, or from this computer's cache. */
  rebuiltChunks: number;
  /** Made again from local files. */
  remadeChunks: number;
  lostChunks: number;
  /** Damaged here, and on a device that is not connected they should be whole. */
  elsewhereChunks: number;
  storedBytes: number;
  /** An entry was written. */
  isChanged: boolean;
  /** Local files that could not be read. */
  problems: Problem[];
  /** What stays damaged. */
  remaining: DamageReport;
  seconds: number;
}

export class Repairer {
  /** When it began. */
  readonly #condemnations: number;
  readonly #parts: RepositoryParts;
  readonly #options: RepairOptions;
  readonly #examination: Examination;
  readonly #uploader: PackUploader | undefined;
  readonly #chunks: ChunkRepair;
  readonly #claimed: { device: string; pack: IndexedPack }[];
  #restoredIndexBlobs = 0;

  static async run(parts: RepositoryParts, options: RepairOptions): Promise<RepairReport> {
    const started = performance.now();
    const { readPercent = 0, onProgress } = options;
    await parts.refresh();
    const { condemnations } = parts.fate;
    const examination = await Examination.run(parts, { readPercent, onProgress });
    const uploader = options.isDryRun === true ? undefined : await parts.uploader(undefined);
    try {
      return await new Repairer(parts, options, examination, uploader, condemnations).#run(started);
    } catch (error) {
      await uploader?.abandon();
      throw error;
    }
  }

  private constructor(
    parts: RepositoryParts,
    options: RepairOptions,
    examination: Examination,
    uploader: PackUploader | undefined,
    condemnations: number,
  ) {
    this.#condemnations = condemnations;
    this.#parts = parts;
    this.#options = options;
    this.#examination = examination;
    this.#uploader = uploader;
    const onReceived = (bytes: number): void => {
      this.#tell(bytes);
    };
    this.#chunks = new ChunkRepair({ parts, examination, uploader, onReceived });
    this.#claimed = examination.damage.all();
  }

  async #run(started: number): Promise<RepairReport> {
    const { damage, indexDamage } = this.#examination;
    const damagedPacks = damage.size;
    const copier = await this.#copyPacks();
    const indexBlobs = await this.#restoreIndexBlobs();
    const bad = this.#parts.options.devices.map((device) => ({
      device,
      packs: this.#chunks.badPacks(device),
    }));
    this.#chunks.find(bad);
    if (this.#uploader) for (const found of damage.all()) this.#parts.index.lose(found.pack.id, found.device);
    for (const { device, packs } of bad) await this.#chunks.rebuild(device, packs);
    await this.#chunks.restoreUnknown();
    const problems = await this.#chunks.remake(this.#options.paths ?? [], this.#options.onProgress);
    // What an index blob said is not missed any more when all that is needed was found or made again without it.
    const { walk, found } = this.#examination;
    const isMissed = walk.unknown.size + walk.broken > 0;
    const givenUp = isMissed ? [] : indexBlobs;
    const left = isMissed ? indexBlobs : [];
    const isChanged = this.#uploader ? await this.#commit(this.#uploader, copier, givenUp) : false;
    if (this.#uploader)
      for (const { name } of this.#parts.options.devices) await found.set(name, indexIdsOn(left, name));
    const remaining = await this.#remaining(left);
    return {
      isDryRun: !this.#uploader,
      isWhole: isWhole(remaining),
      damagedPacks,
      damagedIndexBlobs: indexDamage.length,
      copiedPacks: copier.copied.length,
      copiedBytes: copier.copiedBytes,
      restoredIndexBlobs: this.#restoredIndexBlobs,
      rebuiltChunks: this.#chunks.rebuiltChunks,
      remadeChunks: this.#chunks.remadeChunks,
      lostChunks: this.#chunks.lostChunks,
      elsewhereChunks: this.#chunks.elsewhere.count,
      storedBytes: this.#uploader?.storedBytes ?? 0,
      isChanged,
      problems,
      remaining,
      seconds: (performance.now() - started) / 1000,
    };
  }

  async #copyPacks(): Promise<PackCopier> {
    const packs = this.#parts.options.devices.flatMap((device): PackToCopy[] =>
      this.#chunks
        .badPacks(device)
        .filter((pack) => this.#chunks.needed(device, pack).length > 0)
        .map((pack) => ({ device, pack })),
    );
    const copier = new PackCopier({
      parts: this.#parts,
      damage: this.#examination.damage,
      isDryRun: !this.#uploader,
      onCopied: () => {
        this.#tell(copier.copiedBytes);
      },
    });
    await copier.copy(packs);
    return copier;
  }

  /** From this computer's copies, or other devices. Gives back those that nobody has. */
  async #restoreIndexBlobs(): Promise<IndexBlobDamage[]> {
    const left: IndexBlobDamage[] = [];
    const { devices } = this.#parts.options;
    for (const found of this.#examination.indexDamage) {
      let blob = this.#parts.blobs.kept(found.id);
      for (const source of devices) {
        if (blob) break;
        const read = source.name === found.device ? undefined : await readIndexBlob(source, found.id);
        if (read && "blob" in read) ({ blob } = read);
      }
      const device = devices.find(({ name }) => name === found.device);
      if (!blob || !device) {
        left.push(found);
        continue;
      }
      if (this.#uploader) {
        await device.delete([found.id]);
        await device.put(found.id, [blob]);
      }
      this.#restoredIndexBlobs++;
    }
    return left;
  }

  /** New packs, packs that are back where an earlier repair gave them up, and what is given up now. */
  async #commit(
    uploader: PackUploader,
    copier: PackCopier,
    givenUp: readonly IndexBlobDamage[],
  ): Promise<boolean> {
    const { index, options } = this.#parts;
    await uploader.flush();
    for (const { device, pack } of copier.copied) {
      if (!index.isLost(pack.id, device.name)) continue;
      const devices = new Set([device.name]);
      index.addDevices(pack, devices);
      uploader.packs.set(pack.number, devices);
    }
    const operations = options.devices.flatMap(({ name }) => this.#losses(name, indexIdsOn(givenUp, name)));
    if (operations.length === 0 && uploader.packs.size === 0) return false;
    const isChanged = await this.#parts
      .committer()
      .commit(operations, [], uploader, { condemnations: this.#condemnations, isAgain: false });
    await this.#parts.settle();
    return isChanged;
  }

  #losses(device: string, indexBlobs: readonly Uint8Array[]): Operation[] {
    const packs = [...this.#claimed, ...this.#examination.damage.all()]
      .filter((found) => found.device === device && this.#parts.index.isLost(found.pack.id, device))
      .map(({ pack }) => pack.id);
    const operations: Operation[] = [];
    const different = [...new Map([...packs, ...indexBlobs].map((id) => [chunkKey(id), id])).values()];
    for (let at = 0; at < different.length; at += MAX_OPERATION_PACKS)
      operations.push({ op: "lost", device, packs: different.slice(at, at + MAX_OPERATION_PACKS) });
    return operations;
  }

  async #remaining(indexBlobs: readonly IndexBlobDamage[]): Promise<DamageReport> {
    const { logDamage, walk, trees, reader, versions } = this.#examination;
    const isLeft = this.#chunks.lostChunks + walk.undecodable > 0;
    const { index } = this.#parts;
    const stateOf = (_kind: ChunkKind, id: Uint8Array): ChunkState =>
      this.#chunks.isLost(id) ? "lost" : "good";
    const { signal } = this.#parts.options;
    const survey = await new DamageSurvey({ trees, reader, index, stateOf, signal }).run(
      isLeft ? versions : [],
    );
    return {
      logs: [...logDamage, ...(await lostDetails(this.#parts, stateOf))],
      packs: [],
      indexBlobs: indexBlobs.map(({ device, id, kind, reason }) => {
        return { device, blob: Buffer.from(id).toString("hex"), kind, reason };
      }),
      files: survey.files,
      moreFiles: survey.moreFiles,
      versions: survey.versions,
      unknownChunks: walk.unknown.size,
    };
  }

  #tell(transferredBytes: number): void {
    this.#options.onProgress?.({
      phase: "transfer",
      filesDone: 0,
      filesTotal: 0,
      bytesDone: transferredBytes,
      bytesTotal: transferredBytes,
      isTotalFinal: false,
      transferredBytes,
      path: "",
    });
  }
}

function indexIdsOn(damage: readonly IndexBlobDamage[], device: string): Uint8Array[] {
  return damage.filter((found) => found.device === device).map(({ id }) => id);
}
