// SPDX-License-Identifier: MIT
/**
 * The write-ahead journal of a push: which chunks each file consists of, and what is in each pack, written before the
 * pack is sent. After a crash the next push finds here what needs no hashing any more, and builds packs that were under
 * way again bit for bit, so that a device goes on in the middle of them. docs/repository.md "Interrupted pushes".
 *
 * It is a memory, not an authority: a device is asked before a pack counts as stored, chunks carry their ids.
 */

import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fromFileError } from "../refusal";
import { CHUNK_ID_BYTES } from "./chunk-cipher";
import type { ChunkItem } from "./content";
import { BATCH_HEADER_BYTES, RECORD_HEADER_BYTES, RecordType, batchChecksum } from "./journal-format";
import { LeftJournals } from "./left-journals";
import type { Pack } from "./pack-format";

const FLUSH_BYTES = 64 * 1024;
/** A file's key or a chunk takes less than this. */
const MAX_SMALL_RECORD_BYTES = 256;

export class PushJournal {
  /** Journals that pushes of this process are writing: another process is told by its number in the file's name. */
  static readonly #inUse = new Set<string>();

  /** What the pushes said that are no more. */
  readonly left: LeftJournals;
  readonly #folder: string;
  readonly #path: string;
  readonly #adopted: string[] = [];
  #file: number | undefined;
  /** The batch being filled, with room for its header. */
  readonly #batch = Buffer.allocUnsafe(BATCH_HEADER_BYTES + FLUSH_BYTES);
  #length = BATCH_HEADER_BYTES;
  #files = 0;

  /** Takes over what pushes that are no more have left in `folder`. */
  static open(folder: string): PushJournal {
    return new PushJournal(folder);
  }

  private constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#folder = folder;
    this.#path = this.#newPath();
    PushJournal.#inUse.add(this.#path);
    this.left = new LeftJournals(this.#adopt(), folder);
  }

  /** Starts a file; the number goes with its chunks. */
  file(key: string): number {
    const number = this.#files++;
    const at = this.#begin(RecordType.file, 4 + key.length);
    this.#batch.writeUInt32BE(number, at);
    this.#batch.write(key, at + 4, "latin1");
    return number;
  }

  item(file: number, item: ChunkItem): void {
    const { id, lengthBytes } = item;
    const at = this.#begin(id ? RecordType.chunk : RecordType.hole, id ? 8 + CHUNK_ID_BYTES : 12);
    this.#batch.writeUInt32BE(file, at);
    if (id) {
      this.#batch.writeUInt32BE(lengthBytes, at + 4);
      this.#batch.set(id, at + 8);
    } else this.#batch.writeBigUInt64BE(BigInt(lengthBytes), at + 4);
  }

  /** On the disk's side of this process when it returns: to be called before the pack is sent. */
  pack(pack: Pack): void {
    this.flush();
    const fields = Buffer.alloc(BATCH_HEADER_BYTES + RECORD_HEADER_BYTES + CHUNK_ID_BYTES + 5);
    const chunks = pack.chunks.bytes;
    fields.writeUInt32BE(CHUNK_ID_BYTES + 5 + chunks.length, BATCH_HEADER_BYTES);
    fields[BATCH_HEADER_BYTES + 4] = RecordType.pack;
    const at = BATCH_HEADER_BYTES + RECORD_HEADER_BYTES;
    fields.set(pack.id, at);
    fields[at + CHUNK_ID_BYTES] = pack.stream;
    fields.writeUInt32BE(pack.sizeBytes, at + CHUNK_ID_BYTES + 1);
    this.#write(Buffer.concat([fields, chunks]));
  }

  flush(): void {
    if (this.#length === BATCH_HEADER_BYTES) return;
    this.#write(this.#batch.subarray(0, this.#length));
    this.#length = BATCH_HEADER_BYTES;
  }

  #write(bytes: Buffer): void {
    bytes.writeUInt32BE(bytes.length - BATCH_HEADER_BYTES, 0);
    batchChecksum(bytes.subarray(BATCH_HEADER_BYTES)).copy(bytes, 4);
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
    this.left.close();
    for (const path of [this.#path, ...this.#adopted]) PushJournal.#inUse.delete(path);
  }

  /** Where the body of the next record goes. */
  #begin(type: number, bodyBytes: number): number {
    if (bodyBytes > MAX_SMALL_RECORD_BYTES) throw new RangeError(`record: ${String(bodyBytes)} bytes`);
    if (this.#length + RECORD_HEADER_BYTES + bodyBytes > this.#batch.length) this.flush();
    const at = this.#length + RECORD_HEADER_BYTES;
    this.#batch.writeUInt32BE(bodyBytes, this.#length);
    this.#batch[this.#length + 4] = type;
    this.#length = at + bodyBytes;
    return at;
  }

  #adopt(): string[] {
    for (const name of readdirSync(this.#folder).sort()) {
      const path = join(this.#folder, name);
      const pid = Number(/^journal-(\d+)-[0-9a-f]+$/.exec(name)?.[1]);
      if (!Number.isInteger(pid) || PushJournal.#inUse.has(path) || (pid !== process.pid && isAlive(pid)))
        continue;
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
