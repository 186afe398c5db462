// SPDX-License-Identifier: MIT
/**
 * The write-ahead journal of a push: which chunks each file consists of, and what is in each pack, written before the
 * pack is sent. After a crash the next push finds here what needs no hashing any more, and builds packs that were under
 * way again bit for bit, so that a device goes on in the middle of them. docs/repository.md "Interrupted pushes".
 *
 * It is a memory, not an authority: a device is asked before a pack counts as stored, chunks carry their ids. Records:
 * u32 length | u32 CRC-32 | u8 type | body; the first that does not fit ends the journal.
 */

import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { crc32 } from "../../firmware/protocol/crc32";
import { fromFileError } from "../refusal";
import { CHUNK_ID_BYTES } from "./chunk-cipher";
import type { ChunkItem } from "./content";
import { type Pack, decodePackedChunks, encodePackedChunks, streamOf } from "./pack-format";

const RecordType = { file: 1, chunk: 2, hole: 3, pack: 4 } as const;
const HEADER_BYTES = 9;
const MAX_RECORD_BYTES = 4 * 1024 * 1024;
const FLUSH_BYTES = 64 * 1024;
/** Files remembered from journals, newest first to go: bounds memory, costs only hashing. */
const MAX_FILES = 200_000;

export interface JournalContent {
  /** By `fileKey`: the chunks from the start of the file, as far as they were known. */
  files: Map<string, ChunkItem[]>;
  packs: Pack[];
}

export class PushJournal {
  /** Journals that pushes of this process are writing: another process is told by its number in the file's name. */
  static readonly #inUse = new Set<string>();

  readonly #folder: string;
  readonly #path: string;
  readonly #adopted: string[] = [];
  #file: number | undefined;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #files = 0;

  /** Takes over what pushes that are no more have left in `folder`. */
  static open(folder: string): { journal: PushJournal; left: JournalContent } {
    const journal = new PushJournal(folder);
    const left: JournalContent = { files: new Map(), packs: [] };
    for (const path of journal.#adopt()) readJournal(path, left);
    return { journal, left };
  }

  private constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#folder = folder;
    this.#path = this.#newPath();
    PushJournal.#inUse.add(this.#path);
  }

  /** Starts a file; the number goes with its chunks. */
  file(key: string): number {
    const number = this.#files++;
    const body = Buffer.alloc(4 + key.length);
    body.writeUInt32BE(number, 0);
    body.write(key, 4, "latin1");
    this.#append(RecordType.file, body);
    return number;
  }

  item(file: number, item: ChunkItem): void {
    const body = Buffer.alloc(item.id ? 8 + CHUNK_ID_BYTES : 12);
    body.writeUInt32BE(file, 0);
    if (item.id) {
      body.writeUInt32BE(item.lengthBytes, 4);
      body.set(item.id, 8);
    } else body.writeBigUInt64BE(BigInt(item.lengthBytes), 4);
    this.#append(item.id ? RecordType.chunk : RecordType.hole, body);
  }

  /** On the disk's side of this process when it returns: to be called before the pack is sent. */
  pack(pack: Pack): void {
    const fields = Buffer.alloc(CHUNK_ID_BYTES + 5);
    fields.set(pack.id, 0);
    fields[CHUNK_ID_BYTES] = pack.stream;
    fields.writeUInt32BE(pack.sizeBytes, CHUNK_ID_BYTES + 1);
    this.#append(RecordType.pack, Buffer.concat([fields, encodePackedChunks(pack.chunks)]));
    this.flush();
  }

  flush(): void {
    if (this.#waitingBytes === 0) return;
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    try {
      this.#file ??= openSync(this.#path, "a", 0o600);
      writeSync(this.#file, bytes);
    } catch (error) {
      throw fromFileError(error, `cannot write ${this.#path}`);
    }
  }

  /** The push is visible: nothing in the journals is needed any more. */
  finish(): void {
    this.close();
    for (const path of [this.#path, ...this.#adopted]) rmSync(path, { force: true });
  }

  /** Leaves the journals for the next push. */
  close(): void {
    this.flush();
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
    for (const path of [this.#path, ...this.#adopted]) PushJournal.#inUse.delete(path);
  }

  #append(type: number, body: Uint8Array): void {
    const record = Buffer.allocUnsafe(HEADER_BYTES + body.length);
    record[8] = type;
    record.set(body, HEADER_BYTES);
    record.writeUInt32BE(body.length + 1, 0);
    record.writeUInt32BE(crc32(record.subarray(8)), 4);
    this.#waiting.push(record);
    this.#waitingBytes += record.length;
    if (this.#waitingBytes >= FLUSH_BYTES) this.flush();
  }

  #adopt(): string[] {
    for (const name of readdirSync(this.#folder).sort()) {
      const path = join(this.#folder, name);
      const pid = Number(/^journal-(\d+)-[0-9a-f]+$/.exec(name)?.[1]);
      if (!Number.isInteger(pid) || PushJournal.#inUse.has(path) || (pid !== process.pid && isAlive(pid))) continue;
      const mine = this.#newPath();
      try {
        renameSync(path, mine);
      } catch {
        continue; // Another push was faster.
      }
      PushJournal.#inUse.add(mine);
      this.#adopted.push(mine);
    }
    return this.#adopted;
  }

  #newPath(): string {
    return join(this.#folder, `journal-${String(process.pid)}-${randomBytes(6).toString("hex")}`);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function readJournal(path: string, into: JournalContent): void {
  const bytes = readFileSync(path);
  const files = new Map<number, ChunkItem[]>();
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const length = bytes.readUInt32BE(at);
    const end = at + 8 + length;
    if (length < 1 || length > MAX_RECORD_BYTES || end > bytes.length) return;
    if (crc32(bytes.subarray(at + 8, end)) !== bytes.readUInt32BE(at + 4)) return;
    readRecord(bytes[at + 8] ?? 0, bytes.subarray(at + HEADER_BYTES, end), files, into);
    at = end;
  }
}

function readRecord(type: number, body: Buffer, files: Map<number, ChunkItem[]>, into: JournalContent): void {
  if (type === RecordType.pack) {
    const sizeBytes = body.readUInt32BE(CHUNK_ID_BYTES + 1);
    const { chunks } = decodePackedChunks(body, CHUNK_ID_BYTES + 5, sizeBytes);
    into.packs.push({ id: body.subarray(0, CHUNK_ID_BYTES), stream: streamOf(body[CHUNK_ID_BYTES]), sizeBytes, chunks });
  } else if (type === RecordType.file) {
    if (into.files.size >= MAX_FILES) return;
    const items: ChunkItem[] = [];
    files.set(body.readUInt32BE(0), items);
    into.files.set(body.toString("latin1", 4), items);
  } else if (type === RecordType.chunk) {
    files.get(body.readUInt32BE(0))?.push({ lengthBytes: body.readUInt32BE(4), id: body.subarray(8) });
  } else if (type === RecordType.hole) {
    files.get(body.readUInt32BE(0))?.push({ lengthBytes: Number(body.readBigUInt64BE(4)), id: undefined });
  }
}
