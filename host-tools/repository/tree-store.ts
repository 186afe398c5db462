// SPDX-License-Identifier: MIT
/**
 * Folders by their content: loads and verifies them, keeps some decoded, and holds those that were made by an edit and
 * are not stored yet.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { Refusal } from "../refusal";
import { type ByteString, formatRemotePath } from "./byte-names";
import type { ChunkCipher } from "./chunk-cipher";
import { type Chunker, MIN_CHUNK_BYTES } from "./chunker";
import { type ChunkItem, ContentBuilder, contentItems, directItems } from "./content";
import type { ChunkReader } from "./chunk-reader";
import { refuseNewerVersion } from "./newer-version";
import { ChunkKind } from "./repository-keys";
import { EntryType, MAX_TREE_BYTES, type TreeEntry, decodeEntries, encodeTree } from "./tree";

/** Encoded bytes of folders kept decoded: they take four times as much so. */
const KEPT_BYTES = 2 * 1024 * 1024;

/** Where a new chunk goes. */
export type StoreChunk = (kind: ChunkKind, id: Uint8Array, plaintext: Uint8Array) => Promise<void>;

export interface PendingChunk {
  kind: ChunkKind;
  id: Uint8Array;
  plaintext: Uint8Array;
}

/** A chunk that something stored consists of. */
export interface ReadableChunk {
  kind: ChunkKind;
  id: Uint8Array;
  read: () => Promise<Uint8Array>;
}

export class TreeStore {
  readonly #reader: ChunkReader;
  readonly #cipher: ChunkCipher;
  readonly #chunker: Chunker;
  readonly #kept = new Map<string, { bytes: number; entries: TreeEntry[] }>();
  #keptBytes = 0;
  /** Chunks of edited folders, by id, until a commit stores them. */
  readonly pending = new Map<string, PendingChunk>();

  constructor(options: { reader: ChunkReader; cipher: ChunkCipher; chunker: Chunker }) {
    this.#reader = options.reader;
    this.#cipher = options.cipher;
    this.#chunker = options.chunker;
  }

  /** The entries of a folder, in order. Not to be changed. */
  async load(directory: TreeEntry): Promise<readonly TreeEntry[]> {
    if (directory.content.length === 1) return [];
    const key = Buffer.from(directory.content).toString("latin1");
    const kept = this.#kept.get(key);
    if (kept) {
      this.#kept.delete(key);
      this.#kept.set(key, kept);
      return kept.entries;
    }
    const bytes = await this.#loadBytes(directory);
    const entries = [...this.#decodeEach(directory, bytes)];
    this.#keep(key, entries, bytes.length);
    return entries;
  }

  /** The entries of a folder for one pass in their order: decoded as it goes, so that a huge folder takes little memory. */
  async cursor(directory: TreeEntry): Promise<EntryCursor> {
    if (directory.content.length === 1) return new EntryCursor([].values());
    return new EntryCursor(this.#decodeEach(directory, await this.#loadBytes(directory)));
  }

  *#decodeEach(directory: TreeEntry, bytes: Uint8Array): Generator<TreeEntry> {
    try {
      yield* decodeEntries(bytes);
    } catch (error) {
      throw undecodable(directory, error);
    }
  }

  /** All chunks of an entry's content in order. */
  items(entry: TreeEntry): AsyncIterable<ChunkItem[]> {
    return contentItems(entry.content, entry.sizeBytes, (item) => this.#readChunk(ChunkKind.list, item));
  }

  async #loadBytes(directory: TreeEntry): Promise<Uint8Array> {
    try {
      const parts: Uint8Array[] = [];
      let length = 0;
      for await (const items of treeItems(directory.content, (item) => this.#readChunk(ChunkKind.list, item)))
        for (const item of items) {
          const part = await this.#readChunk(ChunkKind.tree, item);
          length += part.length;
          if (length > MAX_TREE_BYTES) throw new DataError("range", "folder larger than any can be");
          parts.push(part);
        }
      return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    } catch (error) {
      throw undecodable(directory, error);
    }
  }

  async #readChunk(kind: ChunkKind, item: ChunkItem): Promise<Uint8Array> {
    if (!item.id) throw new DataError("type", "a hole where a chunk is needed");
    const pending = this.pending.get(Buffer.from(item.id).toString("latin1"));
    return pending?.kind === kind ? pending.plaintext : this.#reader.read(kind, item.id);
  }

  /** The chunks that a folder's own list of entries consists of. */
  async *chunksOf(directory: TreeEntry): AsyncGenerator<ReadableChunk> {
    if (directory.content.length === 1) return;
    const lists: ChunkItem[] = [];
    const items = treeItems(directory.content, (item) => this.#readList(item, lists));
    for await (const part of items) for (const item of part) yield this.#chunk(ChunkKind.tree, item);
    for (const item of lists) yield this.#chunk(ChunkKind.list, item);
  }

  /** The chunks of a file's data, and of the lists that name them. */
  async *chunksOfFile(file: TreeEntry): AsyncGenerator<ReadableChunk> {
    const lists: ChunkItem[] = [];
    const items = contentItems(file.content, file.sizeBytes, (item) => this.#readList(item, lists));
    for await (const part of items)
      for (const item of part) if (item.id) yield this.#chunk(ChunkKind.data, item);
    for (const item of lists) yield this.#chunk(ChunkKind.list, item);
  }

  #readList(item: ChunkItem, lists: ChunkItem[]): Promise<Uint8Array> {
    lists.push(item);
    return this.#readChunk(ChunkKind.list, item);
  }

  #chunk(kind: ChunkKind, item: ChunkItem): ReadableChunk {
    return { kind, id: item.id ?? new Uint8Array(0), read: () => this.#readChunk(kind, item) };
  }

  #keep(key: string, entries: TreeEntry[], bytes: number): void {
    this.#kept.set(key, { bytes, entries });
    this.#keptBytes += bytes;
    for (const [oldest, value] of this.#kept) {
      if (this.#keptBytes <= KEPT_BYTES || oldest === key) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= value.bytes;
    }
  }

  /** The content of a folder with these encoded entries; new chunks go to `store`. */
  async encodeContent(bytes: Uint8Array, store: StoreChunk): Promise<Uint8Array> {
    const builder = new ContentBuilder({
      storeList: async (plaintext) => {
        const id = this.#cipher.id(ChunkKind.list, plaintext);
        await store(ChunkKind.list, id, plaintext);
        return id;
      },
    });
    for (let at = 0; at < bytes.length;) {
      const end = at + this.#cut(bytes.subarray(at));
      const plaintext = bytes.subarray(at, end);
      const id = this.#cipher.id(ChunkKind.tree, plaintext);
      await store(ChunkKind.tree, id, plaintext);
      await builder.add({ lengthBytes: plaintext.length, id });
      at = end;
    }
    return builder.finish();
  }

  /** Cut by content, so that a change in a long folder costs one piece of it. */
  #cut(bytes: Uint8Array): number {
    if (bytes.length <= MIN_CHUNK_BYTES) return bytes.length;
    const length = Math.min(bytes.length, this.#chunker.bytes.length);
    this.#chunker.bytes.set(bytes.subarray(0, length));
    return this.#chunker.cut(0, length, length === bytes.length) ?? length;
  }

  /** A folder like `like` with other entries, its chunks pending. */
  async make(like: TreeEntry, entries: readonly TreeEntry[]): Promise<TreeEntry> {
    if (entries.length === 0)
      return { ...like, type: EntryType.directory, content: Uint8Array.of(0x80), sizeBytes: 0, entries: 0 };
    const encoded = encodeTree(entries);
    const content = await this.encodeContent(encoded.bytes, (kind, id, plaintext) => {
      this.pending.set(Buffer.from(id).toString("latin1"), {
        kind,
        id,
        plaintext: Uint8Array.from(plaintext),
      });
      return Promise.resolve();
    });
    return { ...like, content, sizeBytes: encoded.sizeBytes, entries: encoded.entries };
  }

  /** The entry at a path below `root`; undefined when there is none, also when a part on the way is no folder. */
  async find(root: TreeEntry, path: readonly ByteString[]): Promise<TreeEntry | undefined> {
    let at: TreeEntry = root;
    for (const name of path) {
      if (at.type !== EntryType.directory) return undefined;
      const next = findEntry(await this.load(at), name);
      if (!next) return undefined;
      at = next;
    }
    return at;
  }
}

/** Entries in order, to be asked for in order. */
export class EntryCursor {
  readonly #entries: Iterator<TreeEntry>;
  #next: TreeEntry | undefined;

  constructor(entries: Iterator<TreeEntry>) {
    this.#entries = entries;
    this.#advance();
  }

  /** Names come in ascending order. */
  find(name: ByteString): TreeEntry | undefined {
    while (this.#next && this.#next.name < name) this.#advance();
    return this.#next?.name === name ? this.#next : undefined;
  }

  #advance(): void {
    const step = this.#entries.next();
    this.#next = step.done === true ? undefined : step.value;
  }
}

/** What is said of an error that came with a folder's bytes. */
function undecodable({ name }: TreeEntry, error: unknown): unknown {
  const folder = formatRemotePath([name]);
  refuseNewerVersion(error, `the folder ${folder}`);
  if (!(error instanceof DataError)) return error;
  return new Refusal("corruptedBlob", `the folder ${folder} does not decode: ${error.message}`, {
    hint: "It was written by a defective Coffer.",
    cause: error,
  });
}

/** By bisection: entries are in order. */
export function findEntry(entries: readonly TreeEntry[], name: ByteString): TreeEntry | undefined {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle]?.name ?? "") < name) low = middle + 1;
    else high = middle;
  }
  const found = entries[low];
  return found?.name === name ? found : undefined;
}

/** A folder's content does not say how long its encoded entries are: a single chunk is as long as it is. */
async function* treeItems(
  content: Uint8Array,
  loadList: (item: ChunkItem) => Promise<Uint8Array>,
): AsyncGenerator<ChunkItem[]> {
  if (content[0] === 0x58) yield directItems(content, 0) ?? [];
  else yield* contentItems(content, undefined, loadList);
}
