// SPDX-License-Identifier: MIT
/**
 * Which chunks are needed: those of all kept versions, of the present state and of the log entries themselves. One bit
 * for each chunk of the index; a folder that several versions have in common is walked once.
 */

import { Refusal } from "../refusal";
import { type ByteString, formatRemotePath } from "./byte-names";
import type { ChunkIndex, IndexedPack } from "./chunk-index";
import { EntrySet } from "./entry-set";
import { EntryType, type TreeEntry } from "./tree";
import type { TreeStore } from "./tree-store";

export class LiveChunks {
  readonly #index: ChunkIndex;
  readonly #trees: TreeStore;
  readonly #live: EntrySet;
  /** Contents of folders that were walked. */
  readonly #walked = new Set<string>();
  readonly #signal: AbortSignal | undefined;

  constructor(options: { index: ChunkIndex; trees: TreeStore; signal?: AbortSignal | undefined }) {
    this.#index = options.index;
    this.#trees = options.trees;
    this.#live = new EntrySet(options.index.size);
    this.#signal = options.signal;
  }

  /** Everything below a root. Refuses with `missingBlob` what no index knows: a damaged repository is not pruned. */
  async addTree(root: TreeEntry, path: readonly ByteString[] = []): Promise<void> {
    if (root.type === EntryType.symlink) return;
    if (root.type === EntryType.directory) {
      const key = Buffer.from(root.content).toString("latin1");
      if (this.#walked.has(key)) return;
      this.#walked.add(key);
      this.#signal?.throwIfAborted();
    }
    const isFolder = root.type === EntryType.directory;
    for await (const { id } of isFolder ? this.#trees.chunksOf(root) : this.#trees.chunksOfFile(root))
      this.#add(id, path);
    if (root.type !== EntryType.directory) return;
    for (const entry of await this.#trees.load(root)) await this.addTree(entry, [...path, entry.name]);
  }

  /** A chunk that belongs to no file. */
  addId(id: Uint8Array): void {
    this.#add(id, undefined);
  }

  #add(id: Uint8Array, path: readonly ByteString[] | undefined): void {
    if (this.#index.mark(id, this.#live) !== undefined) return;
    if (this.#trees.pending.has(Buffer.from(id).toString("latin1"))) return;
    const what = path ? formatRemotePath(path) : "a log entry";
    throw new Refusal("missingBlob", `a chunk of ${what} is in no pack, so nothing is deleted`, {
      hint: "See what is damaged with `coffer verify`, repair it or forget the versions that need it, and prune again.",
    });
  }

  isLive(entry: number): boolean {
    return this.#live.has(entry);
  }

  /** Sealed bytes of a pack's chunks: those that are needed, and those that are not. */
  bytesOf(pack: IndexedPack): { liveBytes: number; deadBytes: number } {
    const bytes = { liveBytes: 0, deadBytes: 0 };
    const firstEntry = this.#index.firstEntryOf(pack);
    for (let entry = firstEntry; entry < firstEntry + pack.chunkCount; entry++)
      bytes[this.isLive(entry) ? "liveBytes" : "deadBytes"] += this.#index.sealedBytesOf(entry);
    return bytes;
  }
}
