// SPDX-License-Identifier: MIT
/**
 * What a file (or a folder's list of entries) consists of, as CBOR. docs/repository.md "Content".
 *
 *   []                       nothing
 *   id (32 bytes)            one chunk, as long as the file
 *   [depth, item...]         item: u32 length | id (36 bytes), or a number: a hole of that many zero bytes
 *
 * At depth 0 items are chunks of the file. At depth d each is a `list` chunk: a CBOR array of items of depth d - 1. So
 * neither a folder nor memory grows with the length of a file.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { CborReader } from "./cbor-reader";
import { CborWriter } from "./cbor-writer";
import { CHUNK_ID_BYTES } from "./chunk-cipher";
import { MAX_CHUNK_BYTES } from "./chunker";

export interface ChunkItem {
  lengthBytes: number;
  /** undefined: a hole. */
  id: Uint8Array | undefined;
}

/** Items kept in the folder itself. */
const MAX_INLINE_ITEMS = 16;
const ITEMS_PER_LIST = 4096;
const MAX_DEPTH = 3;
const ITEM_BYTES = 4 + CHUNK_ID_BYTES;
/** A reader takes no longer array of items: a list, or the inline form. */
const MAX_ITEMS = ITEMS_PER_LIST;

export const EMPTY_CONTENT: Uint8Array = Uint8Array.of(0x80);
/** The most that the encoded form takes inside a folder. */
export const MAX_CONTENT_BYTES = 8 + MAX_INLINE_ITEMS * (ITEM_BYTES + 2);

/** Collects items in order; the number kept in memory does not depend on how many there are. */
export class ContentBuilder {
  readonly #storeList: (plaintext: Uint8Array) => Promise<Uint8Array>;
  /** Items of each depth that wait for their list. */
  readonly #levels: ChunkItem[][] = [[]];
  #sizeBytes = 0;

  /** `storeList` stores a list chunk and gives its id. */
  constructor(options: { storeList: (plaintext: Uint8Array) => Promise<Uint8Array> }) {
    this.#storeList = options.storeList;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async add(item: ChunkItem): Promise<void> {
    this.#sizeBytes += item.lengthBytes;
    const last = this.#levels[0]?.at(-1);
    if (item.id === undefined && last?.id === undefined && last) last.lengthBytes += item.lengthBytes;
    else await this.#push(0, item);
  }

  async finish(): Promise<Uint8Array> {
    for (let depth = 0; ; depth++) {
      const level = this.#levels[depth] ?? [];
      const isTop = depth === this.#levels.length - 1;
      if (isTop && level.length <= MAX_INLINE_ITEMS) return encodeContent(depth, level, this.#sizeBytes);
      if (level.length > 0) await this.#fold(depth);
    }
  }

  async #push(depth: number, item: ChunkItem): Promise<void> {
    const level = (this.#levels[depth] ??= []);
    if (level.length === ITEMS_PER_LIST) await this.#fold(depth);
    (this.#levels[depth] ??= []).push(item);
  }

  async #fold(depth: number): Promise<void> {
    if (depth === MAX_DEPTH) throw new RangeError("content: too many chunks");
    const items = this.#levels[depth] ?? [];
    this.#levels[depth] = [];
    const plaintext = encodeItems(
      new CborWriter(items.length * (ITEM_BYTES + 2) + 8).array(items.length),
      items,
    ).take();
    await this.#push(depth + 1, { lengthBytes: plaintext.length, id: await this.#storeList(plaintext) });
  }
}

function encodeContent(depth: number, items: readonly ChunkItem[], sizeBytes: number): Uint8Array {
  if (items.length === 0) return EMPTY_CONTENT;
  const only = items.length === 1 ? items[0] : undefined;
  const writer = new CborWriter(64);
  if (depth === 0 && only?.id && only.lengthBytes === sizeBytes) return writer.bytes(only.id).take();
  return encodeItems(writer.array(items.length + 1).int(depth), items).take();
}

function encodeItems(writer: CborWriter, items: readonly ChunkItem[]): CborWriter {
  const item = Buffer.alloc(ITEM_BYTES);
  for (const { lengthBytes, id } of items) {
    if (id === undefined) {
      writer.int(lengthBytes);
      continue;
    }
    item.writeUInt32BE(lengthBytes, 0);
    item.set(id, 4);
    writer.bytes(item);
  }
  return writer;
}

/** The content of one chunk. */
export function singleChunk(id: Uint8Array): Uint8Array {
  const content = new Uint8Array(2 + CHUNK_ID_BYTES);
  content[0] = 0x58;
  content[1] = CHUNK_ID_BYTES;
  content.set(id, 2);
  return content;
}

/** The items when no list has to be fetched for them, else undefined. */
export function directItems(content: Uint8Array, sizeBytes: number): ChunkItem[] | undefined {
  const { depth, items } = decodeContent(content, sizeBytes);
  if (depth > 0) return undefined;
  checkSum(items, sizeBytes);
  return items;
}

/**
 * All items in order. `loadList` fetches a list chunk. Throws DataError when the lengths are not those of the file; a
 * folder's size is not that of its list of entries, and there `sizeBytes` is undefined.
 */
export async function* contentItems(
  content: Uint8Array,
  sizeBytes: number | undefined,
  loadList: (item: ChunkItem) => Promise<Uint8Array>,
): AsyncGenerator<ChunkItem[]> {
  const { depth, items } = decodeContent(content, sizeBytes ?? 0);
  if (depth === 0) {
    if (sizeBytes !== undefined) checkSum(items, sizeBytes);
    yield items;
    return;
  }
  let left = sizeBytes ?? 0;
  for await (const part of expand(items, depth, loadList)) {
    if (sizeBytes !== undefined) for (const item of part) left -= item.lengthBytes;
    if (left < 0) break;
    yield part;
  }
  if (left !== 0) throw new DataError("range", "the chunks do not add up to the file");
}

async function* expand(
  items: readonly ChunkItem[],
  depth: number,
  loadList: (item: ChunkItem) => Promise<Uint8Array>,
): AsyncGenerator<ChunkItem[]> {
  for (const item of items) {
    if (item.id === undefined) throw new DataError("type", "a hole in a list of lists");
    const reader = new CborReader(await loadList(item));
    const below = decodeItems(reader, reader.array(MAX_ITEMS));
    reader.end();
    if (depth === 1) yield below;
    else yield* expand(below, depth - 1, loadList);
  }
}

function decodeContent(content: Uint8Array, sizeBytes: number): { depth: number; items: ChunkItem[] } {
  const reader = new CborReader(content);
  if (reader.isBytes) {
    const id = reader.bytes(CHUNK_ID_BYTES);
    if (id.length !== CHUNK_ID_BYTES) throw new DataError("range", "chunk id of another length");
    reader.end();
    return { depth: 0, items: [{ lengthBytes: sizeBytes, id }] };
  }
  const count = reader.array(MAX_ITEMS);
  if (count === 0) {
    reader.end();
    return { depth: 0, items: [] };
  }
  const depth = reader.uint(MAX_DEPTH);
  const items = decodeItems(reader, count - 1);
  reader.end();
  return { depth, items };
}

function decodeItems(reader: CborReader, count: number): ChunkItem[] {
  const items: ChunkItem[] = [];
  for (let i = 0; i < count; i++) {
    if (!reader.isBytes) {
      const lengthBytes = reader.uint();
      if (lengthBytes === 0) throw new DataError("range", "a hole of no bytes");
      items.push({ lengthBytes, id: undefined });
      continue;
    }
    const item = reader.bytes(ITEM_BYTES);
    if (item.length !== ITEM_BYTES) throw new DataError("range", "chunk item of another length");
    const lengthBytes = Buffer.from(item.buffer, item.byteOffset, item.length).readUInt32BE(0);
    if (lengthBytes === 0 || lengthBytes > MAX_CHUNK_BYTES)
      throw new DataError("range", `chunk of ${String(lengthBytes)} bytes`);
    items.push({ lengthBytes, id: item.subarray(4) });
  }
  return items;
}

function checkSum(items: readonly ChunkItem[], sizeBytes: number): void {
  let sum = 0;
  for (const item of items) sum += item.lengthBytes;
  if (sum !== sizeBytes) throw new DataError("range", "the chunks do not add up to the file");
}
