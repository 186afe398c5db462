// SPDX-License-Identifier: MIT
/**
 * Puts right what an examination finds, as far as anybody still has it: whole packs from another device, chunks from any
 * good place or from this computer's cache, chunks made again from local files. What a device lost for good is written
 * down, so that nobody counts on it. docs/repository.md "Repair".
 *
 * Order is everything: nothing that may be the last copy is deleted, and the entry that tells where the new packs are
 * comes after they are durable. An interrupted repair has changed nothing but for the better.
 */

import type { BlobDevice } from "../blob-device";
import { ChunkFetcher, chunkKey } from "../chunk-fetcher";
import type { IndexedPack } from "../chunk-index";
import { MAX_LOST_PACKS, type Operation } from "../log-entry";
import type { PackedChunk } from "../pack-format";
import type { PackUploader } from "../pack-uploader";
import type { Problem, Progress } from "../repository-api";
import { ChunkKind } from "../repository-keys";
import type { RepositoryParts } from "../repository-parts";
import { Refusal } from "../../refusal";
import type { ChunkState, IndexBlobDamage } from "./damage";
import { EntrySet } from "./entry-set";
import { Examination } from "./examination";
import { readIndexBlob } from "./index-blob-check";
import { remakeChunks } from "./local-remake";
import { PackCopier, type PackToCopy } from "./pack-copy";
import { DamageSurvey } from "./survey";
import { type DamageReport, isWhole, lostDetails } from "./verify";

/** Sealed bytes of chunks fetched at once. */
const WINDOW_BYTES = 16 * 1024 * 1024;

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
  readonly #parts: RepositoryParts;
  readonly #options: RepairOptions;
  readonly #examination: Examination;
  readonly #uploader: PackUploader | undefined;
  /** Chunks that nobody has; those that a device which is not connected should have; the devices that lack them. */
  readonly #lost: EntrySet;
  readonly #elsewhere: EntrySet;
  readonly #lostOn = new Map<string, EntrySet>();
  /** Devices that lack a chunk which can be read from somewhere. */
  readonly #wantedOn = new Map<string, EntrySet>();
  readonly #claimed: { device: string; pack: IndexedPack }[];
  #rebuiltChunks = 0;
  #remadeChunks = 0;
  #restoredIndexBlobs = 0;

  static async run(parts: RepositoryParts, options: RepairOptions): Promise<RepairReport> {
    const { readPercent = 0, onProgress } = options;
    const examination = await Examination.run(parts, { readPercent, onProgress });
    const uploader = options.isDryRun === true ? undefined : await parts.uploader(undefined);
    try {
      return await new Repairer(parts, options, examination, uploader).#run();
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
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#examination = examination;
    this.#uploader = uploader;
    this.#lost = new EntrySet(parts.index.size);
    this.#elsewhere = new EntrySet(parts.index.size);
    for (const { name } of parts.options.devices) {
      this.#lostOn.set(name, new EntrySet(parts.index.size));
      this.#wantedOn.set(name, new EntrySet(parts.index.size));
    }
    this.#claimed = examination.damage.all();
  }

  async #run(): Promise<RepairReport> {
    const started = performance.now();
    const { damage, indexDamage } = this.#examination;
    const damagedPacks = damage.size;
    const copier = await this.#copyPacks();
    const indexBlobs = await this.#restoreIndexBlobs();
    const bad = this.#parts.options.devices.map((device) => ({ device, packs: this.#badPacks(device) }));
    for (const { device, packs } of bad) this.#findSources(device, packs);
    this.#findNowhere();
    if (this.#uploader) for (const found of damage.all()) this.#parts.index.lose(found.pack, found.device);
    for (const { device, packs } of bad) await this.#rebuild(device, packs);
    const problems = await this.#remake();
    const isChanged = this.#uploader ? await this.#commit(this.#uploader, copier) : false;
    if (this.#uploader)
      for (const { name } of this.#parts.options.devices)
        await this.#examination.found.set(name, indexIdsOn(indexBlobs, name));
    const remaining = await this.#remaining(indexBlobs);
    return {
      isDryRun: !this.#uploader,
      isWhole: isWhole(remaining),
      damagedPacks,
      damagedIndexBlobs: indexDamage.length,
      copiedPacks: copier.copied.length,
      copiedBytes: copier.copiedBytes,
      restoredIndexBlobs: this.#restoredIndexBlobs,
      rebuiltChunks: this.#rebuiltChunks,
      remadeChunks: this.#remadeChunks,
      lostChunks: this.#lost.count + this.#examination.walk.unknown.size,
      elsewhereChunks: this.#elsewhere.count,
      storedBytes: this.#uploader?.storedBytes ?? 0,
      isChanged,
      problems,
      remaining,
      seconds: (performance.now() - started) / 1000,
    };
  }

  /** What the device has no good copy of: found now, or written down by an earlier repair. */
  #badPacks({ name }: BlobDevice): IndexedPack[] {
    const { index } = this.#parts;
    return index.packs.filter((pack) => index.isLost(pack.id, name) || this.#examination.damage.get(name, pack));
  }

  /** Chunks of a pack that some version needs and that the device has nowhere else. */
  #needed(device: BlobDevice, pack: IndexedPack): PackedChunk[] {
    const { places } = this.#examination;
    return this.#parts.index.chunksOf(pack).filter(({ id }) => {
      const entry = this.#parts.index.entryOf(id);
      return entry !== undefined && this.#isNeeded(entry) && !places.isWholeOn(device.name, id);
    });
  }

  /** What a folder that cannot be read refers to is not known: then everything counts. */
  #isNeeded(entry: number): boolean {
    const { walk } = this.#examination;
    return walk.broken > 0 || walk.referenced.has(entry);
  }

  async #copyPacks(): Promise<PackCopier> {
    const packs = this.#parts.options.devices.flatMap((device): PackToCopy[] =>
      this.#badPacks(device)
        .filter((pack) => this.#needed(device, pack).length > 0)
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

  /** Gives back those that nobody has. */
  async #restoreIndexBlobs(): Promise<IndexBlobDamage[]> {
    const left: IndexBlobDamage[] = [];
    const { devices } = this.#parts.options;
    for (const found of this.#examination.indexDamage) {
      let blob = this.#parts.keptIndexBlob(found.id);
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

  #findSources(device: BlobDevice, packs: readonly IndexedPack[]): void {
    const { index } = this.#parts;
    const { places } = this.#examination;
    for (const pack of packs)
      for (const { kind, id } of this.#needed(device, pack)) {
        const entry = index.entryOf(id);
        if (entry === undefined) continue;
        const state = places.state(kind, id);
        if (state === "good" || state === "reduced" || this.#isCached(kind, id))
          this.#wantedOn.get(device.name)?.add(entry);
        else {
          this.#lostOn.get(device.name)?.add(entry);
          (state === "lost" ? this.#lost : this.#elsewhere).add(entry);
        }
      }
  }

  /** What was lost on devices that are not connected, and is nowhere else. */
  #findNowhere(): void {
    const { index } = this.#parts;
    const { walk, places } = this.#examination;
    if (walk.nowhere + walk.broken === 0) return;
    for (const pack of index.packs) {
      if (pack.devices.size > 0) continue;
      for (const { kind, id } of index.chunksOf(pack)) {
        const entry = index.entryOf(id);
        if (entry === undefined || !this.#isNeeded(entry)) continue;
        if (places.state(kind, id) === "lost" && !this.#isCached(kind, id)) this.#lost.add(entry);
      }
    }
  }

  #isCached(kind: ChunkKind, id: Uint8Array): boolean {
    const sealed = kind === ChunkKind.data ? undefined : this.#parts.cache.get(id);
    if (!sealed) return false;
    try {
      this.#parts.cipher.open(kind, id, sealed);
      return true;
    } catch {
      return false;
    }
  }

  /** Chunks that can be read go to packs that the device stores anew. */
  async #rebuild(device: BlobDevice, packs: readonly IndexedPack[]): Promise<void> {
    const { index, cipher, options } = this.#parts;
    const wanted = this.#wantedOn.get(device.name);
    const { reader } = this.#examination;
    const onReceived = (): void => {
      this.#tell(fetcher.receivedBytes);
    };
    const fetcher: ChunkFetcher = new ChunkFetcher({ cipher, reader, onReceived, signal: options.signal });
    let waiting: PackedChunk[] = [];
    let bytes = 0;
    for (const pack of packs)
      for (const chunk of index.chunksOf(pack)) {
        const entry = index.entryOf(chunk.id);
        if (entry === undefined || wanted?.has(entry) !== true) continue;
        wanted.delete(entry);
        // The index moves its memory when it grows.
        waiting.push({ ...chunk, id: Uint8Array.from(chunk.id) });
        bytes += chunk.sealedBytes;
        if (bytes < WINDOW_BYTES) continue;
        await this.#rebuildChunks(device, waiting, fetcher);
        waiting = [];
        bytes = 0;
      }
    await this.#rebuildChunks(device, waiting, fetcher);
  }

  async #rebuildChunks(
    device: BlobDevice,
    chunks: readonly PackedChunk[],
    fetcher: ChunkFetcher,
  ): Promise<void> {
    if (!this.#uploader) {
      this.#rebuiltChunks += chunks.length;
      return;
    }
    const fetched = await fetcher.fetch(
      chunks.filter(({ kind }) => kind === ChunkKind.data).map(({ id }) => id),
    );
    const among = new Set([device.name]);
    for (const { kind, id } of chunks) {
      const plaintext = kind === ChunkKind.data ? fetched.chunks.get(chunkKey(id)) : await this.#read(kind, id);
      if (plaintext && !(plaintext instanceof Refusal)) {
        await this.#uploader.offer(kind, id, plaintext, among);
        this.#rebuiltChunks++;
        continue;
      }
      const entry = this.#parts.index.entryOf(id);
      if (entry === undefined) continue;
      this.#lostOn.get(device.name)?.add(entry);
      this.#lost.add(entry);
    }
    fetched.release();
  }

  async #read(kind: ChunkKind, id: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await this.#examination.reader.read(kind, id);
    } catch (error) {
      if (error instanceof Refusal && ["corruptedBlob", "missingBlob"].includes(error.kind)) return undefined;
      throw error;
    }
  }

  async #remake(): Promise<Problem[]> {
    const { paths = [], onProgress } = this.#options;
    if (paths.length === 0) return [];
    const all = new Set(this.#lostOn.keys());
    const { unknown } = this.#examination.walk;
    return remakeChunks({
      parts: this.#parts,
      paths,
      onProgress,
      take: async (kind, id, plaintext) => {
        const entry = this.#parts.index.entryOf(id);
        const among = new Set<string>();
        if (entry !== undefined)
          for (const [name, lost] of this.#lostOn) if (lost.has(entry)) among.add(name);
        const isUnknown = unknown.has(chunkKey(id));
        const isLost = entry !== undefined && this.#lost.has(entry);
        if (among.size === 0 && !isUnknown && !isLost) return;
        await this.#uploader?.offer(kind, id, plaintext, among.size > 0 ? among : all);
        this.#remadeChunks++;
        unknown.delete(chunkKey(id));
        if (entry === undefined) return;
        this.#lost.delete(entry);
        this.#elsewhere.delete(entry);
        for (const lost of this.#lostOn.values()) lost.delete(entry);
      },
    });
  }

  /** New packs, packs that are back where an earlier repair gave them up, and what is given up now. */
  async #commit(uploader: PackUploader, copier: PackCopier): Promise<boolean> {
    const { index, options } = this.#parts;
    await uploader.flush();
    for (const { device, pack } of copier.copied) {
      if (!index.isLost(pack.id, device.name)) continue;
      const devices = new Set([device.name]);
      index.add({ ...pack, chunks: [] }, devices);
      const { id, stream, sizeBytes } = pack;
      uploader.packs.push({ id, stream, sizeBytes, devices, chunks: index.chunksOf(pack) });
    }
    const operations = options.devices.flatMap(({ name }) => this.#losses(name));
    if (operations.length === 0 && uploader.packs.length === 0) return false;
    const isChanged = await this.#parts.committer().commit(operations, [], uploader);
    await this.#parts.settle();
    return isChanged;
  }

  #losses(device: string): Operation[] {
    const packs = [...this.#claimed, ...this.#examination.damage.all()]
      .filter((found) => found.device === device && this.#parts.index.isLost(found.pack.id, device))
      .map(({ pack }) => pack.id);
    const operations: Operation[] = [];
    const different = [...new Map(packs.map((id) => [chunkKey(id), id])).values()];
    for (let at = 0; at < different.length; at += MAX_LOST_PACKS)
      operations.push({ op: "lost", device, packs: different.slice(at, at + MAX_LOST_PACKS) });
    return operations;
  }

  async #remaining(indexBlobs: readonly IndexBlobDamage[]): Promise<DamageReport> {
    const { logDamage, walk, trees, reader, versions } = this.#examination;
    const isLeft = this.#lost.count + walk.unknown.size > 0;
    const { index } = this.#parts;
    const stateOf = (_kind: ChunkKind, id: Uint8Array): ChunkState => {
      const entry = index.entryOf(id);
      const isLost = entry === undefined ? walk.unknown.has(chunkKey(id)) : this.#lost.has(entry);
      return isLost ? "lost" : "good";
    };
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
