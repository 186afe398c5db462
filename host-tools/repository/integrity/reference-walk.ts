// SPDX-License-Identifier: MIT
/**
 * Goes through everything that the versions refer to: folders, lists of chunks, pieces of files, and what did not fit in
 * log entries. A folder that several versions have in common is looked at once; which were seen is told by a bit for
 * each chunk of the index, so memory does not grow with the number of versions.
 */

import { createHash } from "node:crypto";
import { DataError } from "../../../firmware/protocol/data-error";
import { Refusal } from "../../refusal";
import { chunkKey } from "../chunk-fetcher";
import { type ChunkItem, contentItems } from "../content";
import type { ChunkIndex } from "../chunk-index";
import type { ChunkReader } from "../chunk-reader";
import type { EntryBody } from "../log-entry";
import { ChunkKind } from "../repository-keys";
import { EntryType, type TreeEntry } from "../tree";
import type { TreeStore } from "../tree-store";
import { EntrySet } from "../entry-set";

/** Ids of chunks that the index does not know; there are none unless an index blob is lost. */
const MAX_UNKNOWN = 1_000_000;

export class ReferenceWalk {
  /** Chunks that some version needs. */
  readonly referenced: EntrySet;
  /** Needed, and in no pack of the index: ids, one character a byte, and kinds. */
  readonly unknown = new Map<string, ChunkKind>();
  /** Needed, and only on devices that are not connected: nothing can be said of them. */
  elsewhere = 0;
  /** Needed, and the index knows of no device that has them. */
  nowhere = 0;
  /** Folders and lists that could not be read. */
  broken = 0;
  /** Folders and lists that could be read and do not decode: a defect of whoever wrote them. */
  undecodable = 0;
  /** Needed to go on, and could not be read from anywhere. */
  readonly unread: { kind: ChunkKind; id: Uint8Array }[] = [];
  folders = 0;
  files = 0;
  readonly #devices: readonly string[];
  readonly #index: ChunkIndex;
  readonly #trees: TreeStore;
  readonly #reader: ChunkReader;
  readonly #onProgress: () => void;
  readonly #signal: AbortSignal | undefined;
  readonly #seenFolders: EntrySet;
  /** Contents of more than one chunk, by a digest of them. */
  readonly #seen = new Set<string>();

  constructor(options: {
    /** Names of those that are connected. */
    devices: readonly string[];
    index: ChunkIndex;
    trees: TreeStore;
    reader: ChunkReader;
    onProgress: () => void;
    signal?: AbortSignal | undefined;
  }) {
    this.#devices = options.devices;
    this.#index = options.index;
    this.#trees = options.trees;
    this.#reader = options.reader;
    this.#onProgress = options.onProgress;
    this.#signal = options.signal;
    this.referenced = new EntrySet(options.index.size);
    this.#seenFolders = new EntrySet(options.index.size);
  }

  /** The chunks of what did not fit in an entry. */
  async detail({ detail }: EntryBody): Promise<void> {
    if (detail instanceof Uint8Array) return;
    await this.#items(ChunkKind.detail, detail.content, detail.sizeBytes);
  }

  async folder(entry: TreeEntry): Promise<void> {
    if (entry.content.length === 1 || !this.#isNew(entry.content)) return;
    this.#signal?.throwIfAborted();
    this.folders++;
    this.#onProgress();
    const before = this.broken + this.undecodable;
    const chunks = await this.#items(ChunkKind.tree, entry.content, undefined);
    let entries: readonly TreeEntry[];
    try {
      entries = await this.#trees.load(entry);
    } catch (error) {
      if (!isAboutContent(error)) throw error;
      for (const id of chunks)
        await this.#reader.read(ChunkKind.tree, id).catch((failure: unknown) => {
          this.#cannotRead(failure, { kind: ChunkKind.tree, id });
        });
      if (this.broken + this.undecodable === before) this.undecodable++;
      return;
    }
    for (const child of entries)
      if (child.type === EntryType.directory) await this.folder(child);
      else if (child.type === EntryType.file) await this.#file(child);
  }

  async #file(entry: TreeEntry): Promise<void> {
    this.files++;
    // Long ones have lists of chunks, which take time to read; others are looked up quicker than remembered.
    if (hasLists(entry.content) && !this.#isNew(entry.content)) return;
    await this.#items(ChunkKind.data, entry.content, entry.sizeBytes);
  }

  /** Takes note of all chunks of a content; gives those of a folder, which are few. */
  async #items(kind: ChunkKind, content: Uint8Array, sizeBytes: number | undefined): Promise<Uint8Array[]> {
    const chunks: Uint8Array[] = [];
    let last: { kind: ChunkKind; id: Uint8Array } | undefined;
    const loadList = (item: ChunkItem): Promise<Uint8Array> => {
      if (!item.id) throw new DataError("type", "a hole where a list is needed");
      this.#need(ChunkKind.list, item.id);
      last = { kind: ChunkKind.list, id: item.id };
      return this.#reader.read(ChunkKind.list, item.id);
    };
    try {
      for await (const items of contentItems(content, sizeBytes, loadList))
        for (const { id } of items) {
          if (!id) continue;
          this.#need(kind, id);
          if (kind === ChunkKind.tree) chunks.push(id);
        }
    } catch (error) {
      this.#cannotRead(error, last);
    }
    return chunks;
  }

  #need(kind: ChunkKind, id: Uint8Array): void {
    const entry = this.#index.entryOf(id);
    if (entry !== undefined) {
      if (!this.referenced.add(entry)) return;
      if (this.#index.some(id, (pack) => this.#devices.some((name) => pack.devices.has(name)))) return;
      if (this.#index.some(id, (pack) => pack.devices.size > 0)) this.elsewhere++;
      else this.nowhere++;
      return;
    }
    const key = chunkKey(id);
    if (!this.#trees.pending.has(key) && this.unknown.size < MAX_UNKNOWN) this.unknown.set(key, kind);
  }

  #cannotRead(error: unknown, chunk: { kind: ChunkKind; id: Uint8Array } | undefined): void {
    if (!isAboutContent(error)) throw error;
    if (error instanceof DataError) {
      this.undecodable++;
      return;
    }
    this.broken++;
    if (chunk) this.unread.push(chunk);
  }

  #isNew(content: Uint8Array): boolean {
    const entry = content[0] === 0x58 ? this.#index.entryOf(content.subarray(2)) : undefined;
    if (entry !== undefined) return this.#seenFolders.add(entry);
    const key = contentKey(content);
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }
}

/** Whether other things may still be read when this went wrong. */
export function isAboutContent(error: unknown): boolean {
  return (
    error instanceof DataError ||
    (error instanceof Refusal && ["corruptedBlob", "missingBlob", "cardFailed"].includes(error.kind))
  );
}

/** Short, and different for different contents. */
export function contentKey(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("base64url").slice(0, 22);
}

/** An array that begins with a depth above 0. */
function hasLists(content: Uint8Array): boolean {
  return content[0] !== 0x58 && content.length > 1 && content[1] !== 0;
}
