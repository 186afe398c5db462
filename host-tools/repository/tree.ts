// SPDX-License-Identifier: MIT
/**
 * A folder as the repository stores it: CBOR `[1, [entry...]]`, entries in ascending order of their names' bytes.
 * docs/repository.md "Trees".
 *
 *   file      [name, 0, mode, mtime s, mtime ns, size, content, inode, ctime s, ctime ns, device]
 *   folder    [name, 1, mode, mtime s, mtime ns, bytes below, entries below, content]
 *   symlink   [name, 2, mode, mtime s, mtime ns, target]
 *
 * Elements after these belong to later versions; they are kept when an entry is copied. inode, ctime and device are
 * those of the computer that pushed: they only serve to recognise an unchanged file.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { type ByteString, MAX_NAME_BYTES, MAX_PATH_BYTES, isSafeName } from "./byte-names";
import { CborReader } from "./cbor-reader";
import { CborWriter } from "./cbor-writer";
import { EMPTY_CONTENT, MAX_CONTENT_BYTES } from "./content";

const TREE_VERSION = 1;
/** A folder's encoded entries: about three million files in one folder. */
export const MAX_TREE_BYTES = 256 * 1024 * 1024;
const MAX_SECONDS = 2 ** 40;

export const EntryType = { file: 0, directory: 1, symlink: 2 } as const;
export type EntryType = (typeof EntryType)[keyof typeof EntryType];

export interface TreeEntry {
  name: ByteString;
  type: EntryType;
  mode: number;
  mtimeSeconds: number;
  mtimeNanos: number;
  /** Bytes of a file, bytes below a folder, length of a link's target. */
  sizeBytes: number;
  /** Entries below a folder. */
  entries: number;
  /** Encoded, see content.ts; empty for a link. */
  content: Uint8Array;
  target: ByteString;
  inode: number;
  ctimeSeconds: number;
  ctimeNanos: number;
  device: number;
  /** Encoded elements that this version does not know, and how many they are. */
  extra: Uint8Array | undefined;
  extraCount: number;
}

const FILE_ELEMENTS = 11;
const DIRECTORY_ELEMENTS = 8;
const SYMLINK_ELEMENTS = 6;
const MAX_ELEMENTS = 32;
const NOTHING = new Uint8Array(0);

export function makeEntry(fields: Pick<TreeEntry, "name" | "type" | "mode"> & Partial<TreeEntry>): TreeEntry {
  // Field by field: spreading makes objects of many shapes, and there is one for each file of a repository.
  return {
    name: fields.name,
    type: fields.type,
    mode: fields.mode,
    mtimeSeconds: fields.mtimeSeconds ?? 0,
    mtimeNanos: fields.mtimeNanos ?? 0,
    sizeBytes: fields.sizeBytes ?? 0,
    entries: fields.entries ?? 0,
    content: fields.content ?? (fields.type === EntryType.symlink ? NOTHING : EMPTY_CONTENT),
    target: fields.target ?? "",
    inode: fields.inode ?? 0,
    ctimeSeconds: fields.ctimeSeconds ?? 0,
    ctimeNanos: fields.ctimeNanos ?? 0,
    device: fields.device ?? 0,
    extra: fields.extra,
    extraCount: fields.extraCount ?? 0,
  };
}

/** The root of a repository with nothing in it. */
export function emptyRoot(): TreeEntry {
  return makeEntry({ name: "", type: EntryType.directory, mode: 0o755 });
}

export function writeEntry(writer: CborWriter, entry: TreeEntry): void {
  const elements =
    entry.type === EntryType.file
      ? FILE_ELEMENTS
      : entry.type === EntryType.directory
        ? DIRECTORY_ELEMENTS
        : SYMLINK_ELEMENTS;
  writer
    .array(elements + entry.extraCount)
    .byteString(entry.name)
    .int(entry.type)
    .int(entry.mode);
  writer.int(entry.mtimeSeconds).int(entry.mtimeNanos);
  if (entry.type === EntryType.symlink) writer.byteString(entry.target);
  else if (entry.type === EntryType.directory)
    writer.int(entry.sizeBytes).int(entry.entries).raw(entry.content);
  else {
    writer.int(entry.sizeBytes).raw(entry.content);
    writer.int(entry.inode).int(entry.ctimeSeconds).int(entry.ctimeNanos).int(entry.device);
  }
  if (entry.extra) writer.raw(entry.extra);
}

export function encodeEntry(entry: TreeEntry): Uint8Array {
  const writer = new CborWriter();
  writeEntry(writer, entry);
  return writer.take();
}

/** The root of a repository has no name; every other entry has one that is safe. */
export function decodeEntry(bytes: Uint8Array, options: { isRoot?: boolean } = {}): TreeEntry {
  const reader = new CborReader(bytes);
  const entry = readEntry(reader, options.isRoot === true);
  reader.end();
  if (options.isRoot === true && entry.type !== EntryType.directory)
    throw new DataError("type", "a root that is no folder");
  return entry;
}

function readEntry(reader: CborReader, isRoot: boolean): TreeEntry {
  const elements = reader.array(MAX_ELEMENTS);
  const name = reader.byteString(MAX_NAME_BYTES);
  if (isRoot ? name !== "" : !isSafeName(name)) throw new DataError("text", "a name that no file can have");
  const type = reader.uint(2) as EntryType;
  const entry = makeEntry({ name, type, mode: reader.uint(0o7777) });
  entry.mtimeSeconds = readSeconds(reader);
  entry.mtimeNanos = reader.uint(999_999_999);
  let known = SYMLINK_ELEMENTS;
  if (type === EntryType.symlink) {
    entry.target = reader.byteString(MAX_PATH_BYTES);
    if (entry.target === "" || entry.target.includes("\0"))
      throw new DataError("text", "a link without a target");
    entry.sizeBytes = entry.target.length;
  } else {
    entry.sizeBytes = reader.uint();
    if (type === EntryType.directory) {
      known = DIRECTORY_ELEMENTS;
      entry.entries = reader.uint();
      entry.content = readContent(reader);
    } else {
      known = FILE_ELEMENTS;
      entry.content = readContent(reader);
      entry.inode = reader.uint();
      entry.ctimeSeconds = readSeconds(reader);
      entry.ctimeNanos = reader.uint(999_999_999);
      entry.device = reader.uint();
    }
  }
  if (elements < known) throw new DataError("short", "entry with elements missing");
  if (elements > known) {
    const from = reader.offset;
    for (let i = known; i < elements; i++) reader.skip();
    entry.extra = reader.slice(from, reader.offset);
    entry.extraCount = elements - known;
  }
  return entry;
}

function readSeconds(reader: CborReader): number {
  const seconds = reader.int();
  if (seconds > MAX_SECONDS || seconds < -MAX_SECONDS)
    throw new DataError("range", "a time out of all reason");
  return seconds;
}

function readContent(reader: CborReader): Uint8Array {
  const from = reader.offset;
  reader.skip();
  if (reader.offset - from > MAX_CONTENT_BYTES) throw new DataError("range", "content too long");
  return reader.slice(from, reader.offset);
}

/** One after the other: only those that were taken have been looked at. */
export function* decodeEntries(bytes: Uint8Array): Generator<TreeEntry> {
  const reader = new CborReader(bytes);
  if (reader.array(2) !== 2) throw new DataError("short", "folder with elements missing");
  const version = reader.uint();
  if (version !== TREE_VERSION) throw new DataError("version", `folder of version ${String(version)}`);
  const count = reader.array(bytes.length);
  let last = "";
  for (let i = 0; i < count; i++) {
    const entry = readEntry(reader, false);
    if (entry.name <= last) throw new DataError("range", "entries out of order");
    last = entry.name;
    yield entry;
  }
  reader.end();
}

/** Collects entries in ascending order of their names; keeps only their encoded form. */
export class TreeBuilder {
  readonly #writer = new CborWriter(1024);
  #count = 0;
  #last: ByteString = "";
  sizeBytes = 0;
  entries = 0;

  add(entry: TreeEntry): void {
    if (entry.name <= this.#last) throw new RangeError("TreeBuilder: entries out of order");
    this.#last = entry.name;
    writeEntry(this.#writer, entry);
    this.#count++;
    this.entries += 1 + (entry.type === EntryType.directory ? entry.entries : 0);
    if (entry.type !== EntryType.symlink) this.sizeBytes += entry.sizeBytes;
  }

  finish(): Uint8Array {
    const body = this.#writer.written;
    return new CborWriter(body.length + 16).array(2).int(TREE_VERSION).array(this.#count).raw(body).take();
  }
}

export function encodeTree(entries: readonly TreeEntry[]): {
  bytes: Uint8Array;
  sizeBytes: number;
  entries: number;
} {
  const builder = new TreeBuilder();
  for (const entry of entries) builder.add(entry);
  return { bytes: builder.finish(), sizeBytes: builder.sizeBytes, entries: builder.entries };
}
