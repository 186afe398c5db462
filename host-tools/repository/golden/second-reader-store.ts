// SPDX-License-Identifier: MIT
/**
 * Chunks and what is made of them for the second reader: docs/repository.md, "Chunks", "Packs", "Content", "Trees" and
 * the format of "Index".
 */

import { isUtf8 } from "node:buffer";
import { decompress, init } from "@bokuweb/zstd-wasm";
import {
  Cursor,
  Refused,
  asArray,
  asBytes,
  asNumber,
  check,
  checkVersion,
  decodeCbor,
  hex,
  hmac,
  isSame,
  join,
  openGcm,
  sha256,
} from "./second-reader-bytes";
import type { Keys } from "./second-reader-keys";

export const chunkKind = { data: 0, tree: 1, list: 2, detail: 3 } as const;
const largestChunk = 4 << 20;

/** One sealed chunk in a pack. */
export interface PackedChunk {
  readonly id: string;
  readonly kind: number;
  readonly offset: number;
  readonly length: number;
}

/** What an index says of one pack; bit i of `devices` stands for the i-th device of the entry. */
export interface IndexedPack {
  readonly id: string;
  readonly stream: number;
  readonly size: number;
  readonly devices: number;
  readonly chunks: readonly PackedChunk[];
}

/** An entry of a folder. `content` is that of a file, or of the folder's own list of entries. */
export interface TreeNode {
  readonly name: Buffer;
  readonly type: "file" | "folder" | "symlink";
  readonly mode: number;
  readonly mtime: readonly [seconds: number, nanoseconds: number];
  readonly size: number;
  readonly entriesBelow: number;
  readonly content: unknown;
  readonly target: Buffer | undefined;
}

export const openWhole = (key: Buffer, binding: Buffer, sealed: Buffer, what: string): Buffer => {
  const tag = sealed.subarray(0, 32);
  const plaintext = openGcm(hmac(key, Buffer.of(1), tag), binding, sealed.subarray(32));
  check(plaintext !== undefined, `${what} does not open`);
  check(isSame(hmac(key, Buffer.of(0), binding, plaintext), tag), `${what} has another tag`);
  return plaintext;
};

function parseChunkList(cursor: Cursor): PackedChunk[] {
  let offset = 8;
  const count = cursor.u32();
  check(count <= 65536, `${cursor.what} lists ${count} chunks`);
  const chunks = Array.from({ length: count }, () => {
    const chunk = { id: hex(cursor.take(32)), kind: cursor.u8(), length: cursor.u32(), offset };
    offset += chunk.length;
    return chunk;
  });
  return chunks;
}

/** The chunks of a pack by its own index; undefined for a blob that is no pack. */
export function readPack(blob: Buffer, keys: Keys): PackedChunk[] | undefined {
  if (blob.toString("latin1", 0, 4) !== "CFPK") return undefined;
  const what = `pack ${hex(sha256(blob))}`;
  checkVersion(blob[4], 1, what);
  check(blob.length >= 16 && blob.toString("latin1", blob.length - 4) === "CFPE", `${what} has no end`);
  const indexEnd = blob.length - 8;
  const indexStart = indexEnd - blob.readUInt32BE(indexEnd);
  check(indexStart >= 8, `${what} is shorter than its index`);
  const binding = join("coffer pack 1", keys.repositoryId, blob.readUInt8(5));
  const key = keys.key("pack index", blob.readUInt16BE(6));
  const cursor = new Cursor(openWhole(key, binding, blob.subarray(indexStart, indexEnd), what), what);
  const chunks = parseChunkList(cursor);
  cursor.u32();
  cursor.end();
  const end = chunks.reduce((offset, chunk) => offset + chunk.length, 8);
  check(end === indexStart, `${what} is not as long as its chunks`);
  return chunks;
}

export function openIndexBlob(blob: Buffer, keys: Keys): Buffer {
  const cursor = new Cursor(blob, "an index blob");
  check(cursor.take(4).toString("latin1") === "CFIX", "an index blob begins with CFIX");
  checkVersion(cursor.u8(), 1, "an index blob");
  const key = keys.key("index", cursor.u16());
  return openWhole(key, join("coffer index 1", keys.repositoryId), cursor.rest(), "an index blob");
}

export function parseIndex(plaintext: Buffer): IndexedPack[] {
  const cursor = new Cursor(plaintext, "an index");
  const packs: IndexedPack[] = [];
  if (plaintext.length === 0) return packs;
  for (let left = cursor.u32(); left > 0; left--) {
    const id = hex(cursor.take(32));
    const [stream, size, devices] = [cursor.u8(), cursor.u32(), cursor.u32()];
    packs.push({ id, stream, size, devices, chunks: parseChunkList(cursor) });
  }
  cursor.end();
  return packs;
}

/** Where chunks are, by their id; and what can be read with that. */
export class ChunkStore {
  readonly #keys: Keys;
  readonly #places = new Map<string, { pack: () => Buffer | undefined; chunk: PackedChunk }[]>();

  constructor(keys: Keys) {
    this.#keys = keys;
  }

  static readonly isReady: Promise<void> = init();

  /** `read` gives the pack's bytes, undefined when no device has them. */
  add(chunks: readonly PackedChunk[], read: () => Buffer | undefined): void {
    for (const chunk of chunks) {
      const places = this.#places.get(chunk.id) ?? [];
      places.push({ pack: read, chunk });
      this.#places.set(chunk.id, places);
    }
  }

  chunk(id: Buffer, kind: number): Buffer {
    for (const { pack, chunk } of this.#places.get(hex(id)) ?? []) {
      const bytes = pack();
      if (bytes === undefined) continue;
      check(chunk.kind === kind, `chunk ${hex(id)} is of kind ${chunk.kind}`);
      return this.#open(bytes.subarray(chunk.offset, chunk.offset + chunk.length), kind, id);
    }
    throw new Refused("missing", `chunk ${hex(id)} is nowhere`);
  }

  #open(sealed: Buffer, kind: number, id: Buffer): Buffer {
    const what = `chunk ${hex(id)}`;
    const cursor = new Cursor(sealed.subarray(0, -2), what);
    const encoding = cursor.u8();
    if (encoding > 1) throw new Refused("newerVersion", `${what} has encoding ${encoding}`);
    const frameMac = encoding === 1 ? cursor.take(32) : Buffer.alloc(0);
    const chunkKey = this.#keys.key("chunk key", sealed.readUInt16BE(sealed.length - 2));
    const additional = join("coffer chunk 1", this.#keys.repositoryId, kind, encoding, id);
    const opened = openGcm(hmac(chunkKey, join(kind, encoding, id), frameMac), additional, cursor.rest());
    check(opened !== undefined, `${what} does not open`);
    const plaintext = encoding === 1 ? inflate(opened, what) : opened;
    const ownId = hmac(this.#keys.key(`chunk id ${kind}`, 0), plaintext);
    check(isSame(ownId, id), `${what} holds another plaintext`);
    return plaintext;
  }

  /** The bytes that a content stands for; `kind` is that of its chunks. */
  content(content: unknown, kind: number): Buffer {
    if (content instanceof Uint8Array) return this.chunk(asBytes(content, 32), kind);
    const [depth, ...items] = asArray(content);
    return depth === undefined ? Buffer.alloc(0) : this.#items(items, asNumber(depth), kind);
  }

  #items(items: readonly unknown[], depth: number, kind: number): Buffer {
    check(depth >= 0 && depth <= 3, `a content of depth ${depth}`);
    return Buffer.concat(
      items.map((item) => {
        if (typeof item === "number") return Buffer.alloc(asNumber(item));
        const bytes = asBytes(item, 36);
        const chunk = this.chunk(bytes.subarray(4), depth === 0 ? kind : chunkKind.list);
        check(chunk.length === bytes.readUInt32BE(0), "a chunk has another length than its content says");
        return depth === 0 ? chunk : this.#items(asArray(decodeCbor(chunk)), depth - 1, kind);
      }),
    );
  }

  file(node: TreeNode): Buffer {
    const bytes = this.content(node.content, chunkKind.data);
    check(bytes.length === node.size, `${hex(node.name)} has ${bytes.length} bytes instead of ${node.size}`);
    return bytes;
  }

  /** The entries of a folder, in their order. */
  folder(node: TreeNode): TreeNode[] {
    const list = this.content(node.content, chunkKind.tree);
    if (list.length === 0) return [];
    const [version, entries] = asArray(decodeCbor(list));
    checkVersion(version, 1, "a folder");
    const nodes = asArray(entries).map(parseNode);
    nodes.forEach(({ name }, at) => {
      const before = nodes[at - 1]?.name;
      check(before === undefined || before.compare(name) < 0, "a folder's names are not in order");
      const isName = name.length >= 1 && name.length <= 255 && !name.includes(0) && !name.includes("/");
      check(isName && ![".", ".."].includes(name.toString("latin1")), `${hex(name)} is no name`);
    });
    return nodes;
  }
}

/** Names and link targets as people see them: UTF-8, and each byte that is not as a lone surrogate. */
export function textOf(name: Buffer): string {
  if (isUtf8(name)) return name.toString();
  let text = "";
  for (let at = 0; at < name.length;) {
    const lengths = [1, 2, 3, 4].filter((length) => at + length <= name.length);
    const length = lengths.find((one) => isUtf8(name.subarray(at, at + one)));
    text += length
      ? name.toString("utf8", at, at + length)
      : String.fromCharCode(0xdc00 + name.readUInt8(at));
    at += length ?? 1;
  }
  return text;
}

export function parseNode(value: unknown): TreeNode {
  const [name, type, mode, seconds, nanoseconds, ...rest] = asArray(value);
  const known = ["file", "folder", "symlink"] as const;
  const kind = known[asNumber(type)];
  if (kind === undefined) throw new Refused("newerVersion", `an entry of type ${String(type)}`);
  return {
    name: asBytes(name),
    type: kind,
    mode: asNumber(mode),
    mtime: [asNumber(seconds), asNumber(nanoseconds)],
    size: kind === "symlink" ? 0 : asNumber(rest[0]),
    entriesBelow: kind === "folder" ? asNumber(rest[1]) : 0,
    content: kind === "file" ? rest[1] : kind === "folder" ? rest[2] : undefined,
    target: kind === "symlink" ? asBytes(rest[0]) : undefined,
  };
}

/** Decompresses a zstd frame (RFC 8878, 3.1.1) that tells its size and names no dictionary. */
function inflate(frame: Buffer, what: string): Buffer {
  const cursor = new Cursor(frame, what);
  check(cursor.u32() === 0x28b52ffd, `${what} holds no zstd frame`);
  const descriptor = cursor.u8();
  const isSingle = (descriptor & 0x20) !== 0;
  check((descriptor & 3) === 0, `${what} needs a dictionary`);
  if (!isSingle) cursor.u8();
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  check(sizeBytes > 0, `${what} does not tell its size`);
  const little = Buffer.concat([cursor.take(sizeBytes), Buffer.alloc(8)]).readBigUInt64LE();
  const size = Number(little) + (sizeBytes === 2 ? 256 : 0);
  check(size <= largestChunk, `${what} would have ${size} bytes`);
  const plaintext = Buffer.from(decompress(frame));
  check(plaintext.length === size, `${what} holds ${plaintext.length} bytes instead of ${size}`);
  return plaintext;
}
