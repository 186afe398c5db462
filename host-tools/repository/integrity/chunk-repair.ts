// SPDX-License-Identifier: MIT
/**
 * Chunks that a device has no good copy of: which of them somebody still has, and how they come to be stored again. Sets
 * of chunks are bits, so that a device that lost everything takes no more memory than one that lost a pack.
 */

import { Refusal } from "../../refusal";
import type { BlobDevice } from "../blob-device";
import { ChunkFetcher, chunkKey } from "../chunk-fetcher";
import type { IndexedPack } from "../chunk-index";
import type { PackUploader } from "../pack-uploader";
import type { PackedChunk } from "../packed-chunks";
import type { Problem, Progress } from "../repository-api";
import { ChunkKind } from "../repository-keys";
import type { RepositoryParts } from "../repository-parts";
import { EntrySet } from "../entry-set";
import type { Examination } from "./examination";
import { remakeChunks } from "./local-remake";

/** Sealed bytes of chunks fetched at once. */
const WINDOW_BYTES = 16 * 1024 * 1024;

export interface BadPacks {
  device: BlobDevice;
  packs: readonly IndexedPack[];
}

export class ChunkRepair {
  /** Taken from other packs, from what is good in a damaged one, or from this computer's cache. */
  rebuiltChunks = 0;
  /** Made again from local files. */
  remadeChunks = 0;
  /** Chunks that nobody has; those that only a device which is not connected should have; the devices that lack them. */
  readonly lost: EntrySet;
  readonly elsewhere: EntrySet;
  readonly #lostOn = new Map<string, EntrySet>();
  /** Devices that lack a chunk which can be read from somewhere. */
  readonly #wantedOn = new Map<string, EntrySet>();
  readonly #parts: RepositoryParts;
  readonly #examination: Examination;
  /** undefined: nothing is stored, only counted. */
  readonly #uploader: PackUploader | undefined;
  readonly #onReceived: (bytes: number) => void;

  constructor(options: {
    parts: RepositoryParts;
    examination: Examination;
    uploader: PackUploader | undefined;
    onReceived: (bytes: number) => void;
  }) {
    const { size } = options.parts.index;
    this.#parts = options.parts;
    this.#examination = options.examination;
    this.#uploader = options.uploader;
    this.#onReceived = options.onReceived;
    this.lost = new EntrySet(size);
    this.elsewhere = new EntrySet(size);
    for (const { name } of options.parts.options.devices) {
      this.#lostOn.set(name, new EntrySet(size));
      this.#wantedOn.set(name, new EntrySet(size));
    }
  }

  isLost(id: Uint8Array): boolean {
    const entry = this.#parts.index.entryOf(id);
    return entry === undefined ? this.#examination.walk.unknown.has(chunkKey(id)) : this.lost.has(entry);
  }

  get lostChunks(): number {
    return this.lost.count + this.#examination.walk.unknown.size;
  }

  /** What the device has no good copy of: found now, or written down by an earlier repair. */
  badPacks({ name }: BlobDevice): IndexedPack[] {
    const { index } = this.#parts;
    return [...index.packs()].filter(
      (pack) => index.isLost(pack.id, name) || this.#examination.damage.get(name, pack),
    );
  }

  /** Chunks of a pack that some version needs and that the device has nowhere else. */
  needed(device: BlobDevice, pack: IndexedPack): PackedChunk[] {
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

  /** To be called once, before the index is told what is lost. */
  find(bad: readonly BadPacks[]): void {
    for (const { device, packs } of bad) this.#findSources(device, packs);
    this.#findNowhere();
  }

  /** Looks who has what the device needs of these packs. */
  #findSources(device: BlobDevice, packs: readonly IndexedPack[]): void {
    const { index } = this.#parts;
    const { places } = this.#examination;
    for (const pack of packs)
      for (const { kind, id } of this.needed(device, pack)) {
        const entry = index.entryOf(id);
        if (entry === undefined) continue;
        const state = places.state(kind, id);
        if (state === "good" || state === "reduced" || this.#isCached(kind, id))
          this.#wantedOn.get(device.name)?.add(entry);
        else {
          this.#lostOn.get(device.name)?.add(entry);
          (state === "lost" ? this.lost : this.elsewhere).add(entry);
        }
      }
  }

  /** What was lost on devices that are not connected, and is nowhere else. */
  #findNowhere(): void {
    const { index } = this.#parts;
    const { walk, places } = this.#examination;
    if (walk.nowhere + walk.broken === 0) return;
    for (const pack of index.packs()) {
      if (pack.devices.size > 0) continue;
      for (const { kind, id } of index.chunksOf(pack)) {
        const entry = index.entryOf(id);
        if (entry === undefined || !this.#isNeeded(entry)) continue;
        if (places.state(kind, id) === "lost" && !this.#isCached(kind, id)) this.lost.add(entry);
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
  async rebuild(device: BlobDevice, packs: readonly IndexedPack[]): Promise<void> {
    const { index, cipher, options } = this.#parts;
    const wanted = this.#wantedOn.get(device.name);
    const { reader } = this.#examination;
    const onReceived = (): void => {
      this.#onReceived(fetcher.receivedBytes);
    };
    const fetcher: ChunkFetcher = new ChunkFetcher({ cipher, reader, onReceived, signal: options.signal });
    let waiting: PackedChunk[] = [];
    let bytes = 0;
    for (const pack of packs)
      for (const chunk of index.chunksOf(pack)) {
        const entry = index.entryOf(chunk.id);
        if (entry === undefined || wanted?.has(entry) !== true) continue;
        wanted.delete(entry);
        waiting.push(chunk);
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
      this.rebuiltChunks += chunks.length;
      return;
    }
    const fetched = await fetcher.fetch(
      chunks.filter(({ kind }) => kind === ChunkKind.data).map(({ id }) => id),
    );
    const among = new Set([device.name]);
    for (const { kind, id } of chunks) {
      const plaintext =
        kind === ChunkKind.data ? fetched.chunks.get(chunkKey(id)) : await this.#read(kind, id);
      if (plaintext && !(plaintext instanceof Refusal)) {
        await this.#uploader.offer(kind, id, plaintext, among);
        this.rebuiltChunks++;
        continue;
      }
      const entry = this.#parts.index.entryOf(id);
      if (entry === undefined) continue;
      this.#lostOn.get(device.name)?.add(entry);
      this.lost.add(entry);
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

  /** What no pack is known to have, and this computer's cache does: of folders and lists. */
  async restoreUnknown(): Promise<void> {
    const { unknown } = this.#examination.walk;
    for (const [key, kind] of [...unknown]) {
      const id = Buffer.from(key, "latin1");
      if (!this.#isCached(kind, id)) continue;
      await this.#uploader?.offer(kind, id, await this.#examination.reader.read(kind, id));
      this.rebuiltChunks++;
      unknown.delete(key);
    }
  }

  /** From local files. */
  async remake(
    paths: readonly string[],
    onProgress: ((progress: Progress) => void) | undefined,
  ): Promise<Problem[]> {
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
        const isLost = entry !== undefined && this.lost.has(entry);
        if (among.size === 0 && !isUnknown && !isLost) return;
        await this.#uploader?.offer(kind, id, plaintext, among.size > 0 ? among : all);
        this.remadeChunks++;
        unknown.delete(chunkKey(id));
        if (entry === undefined) return;
        this.lost.delete(entry);
        this.elsewhere.delete(entry);
        for (const lost of this.#lostOn.values()) lost.delete(entry);
      },
    });
  }
}
