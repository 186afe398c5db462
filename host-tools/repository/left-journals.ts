// SPDX-License-Identifier: MIT
/**
 * What journals of interrupted pushes say: where in them each file begins, found by its key, and the packs. They are read
 * as they are needed, so that memory does not depend on how much was pushed.
 */

import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { CHUNK_ID_BYTES } from "./chunk-cipher";
import type { ChunkItem } from "./content";
import {
  BATCH_HEADER_BYTES,
  MAX_BATCH_BYTES,
  RECORD_HEADER_BYTES,
  RecordType,
  batchChecksum,
} from "./journal-format";
import { type Pack, streamOf } from "./pack-format";
import { PackedChunks } from "./packed-chunks";
import { RecordTable } from "./record-table";

/** Of a file: which journal, where its record is (batch, as two numbers, and place in it), its number there, its items. */
const Field = { journal: 0, batchHigh: 1, batchLow: 2, at: 3, number: 4, count: 5 } as const;
const HIGH = 2 ** 32;

interface JournalRecord {
  type: number;
  body: Buffer;
  /** Offset of its batch in the journal, and its own in the batch. */
  batch: number;
  at: number;
}

export class LeftJournals {
  readonly #journals: number[] = [];
  readonly #files: RecordTable;
  /** The batch read last: most files begin in the one where the file before ended. */
  #batch: { journal: number; offset: number; records: Buffer } | undefined;

  /** `paths`: of journals that nobody writes any more. `folder`: for temporary files. */
  constructor(paths: readonly string[], folder: string) {
    this.#files = new RecordTable({ fields: Object.keys(Field).length, folder });
    for (const path of paths) this.#scan(this.#journals.push(openSync(path, "r")) - 1);
  }

  /** The chunks of a file from its start, as far as they were known, in that journal which knows most of it. */
  *items(key: string): Generator<ChunkItem> {
    if (this.#files.size === 0) return;
    const found = this.#files.find(idOf(key));
    const count = (file: number): number => this.#files.get(file, Field.count);
    const file = found.reduce<number | undefined>(
      (best, other) => (best === undefined || count(other) > count(best) ? other : best),
      undefined,
    );
    if (file === undefined) return;
    const number = this.#files.get(file, Field.number);
    const batch = this.#files.get(file, Field.batchHigh) * HIGH + this.#files.get(file, Field.batchLow);
    let left = count(file);
    const records = this.#records(
      this.#files.get(file, Field.journal),
      batch,
      this.#files.get(file, Field.at),
    );
    for (const { type, body } of records) {
      if (left === 0) return;
      if ((type !== RecordType.chunk && type !== RecordType.hole) || body.readUInt32BE(0) !== number)
        continue;
      left--;
      yield type === RecordType.chunk
        ? { lengthBytes: body.readUInt32BE(4), id: Uint8Array.from(body.subarray(8)) }
        : { lengthBytes: Number(body.readBigUInt64BE(4)), id: undefined };
    }
  }

  *packs(): Generator<Pack> {
    for (const journal of this.#journals.keys())
      for (const { type, body } of this.#records(journal)) {
        if (type !== RecordType.pack) continue;
        const sizeBytes = body.readUInt32BE(CHUNK_ID_BYTES + 1);
        yield {
          id: body.subarray(0, CHUNK_ID_BYTES),
          stream: streamOf(body[CHUNK_ID_BYTES]),
          sizeBytes,
          chunks: PackedChunks.read(body, CHUNK_ID_BYTES + 5, sizeBytes),
        };
      }
  }

  close(): void {
    for (const journal of this.#journals.splice(0)) closeSync(journal);
    this.#files.close();
    this.#batch = undefined;
  }

  /** Files are numbered from 0 on, in their order. */
  #scan(journal: number): void {
    const first = this.#files.size;
    for (const { type, body, batch, at } of this.#records(journal)) {
      if (type === RecordType.file) {
        const file = this.#files.add(idOf(body.toString("latin1", 4)));
        this.#files.set(file, Field.journal, journal);
        this.#files.set(file, Field.batchHigh, Math.floor(batch / HIGH));
        this.#files.set(file, Field.batchLow, batch % HIGH);
        this.#files.set(file, Field.at, at);
        this.#files.set(file, Field.number, body.readUInt32BE(0));
      } else if (type === RecordType.chunk || type === RecordType.hole) {
        const file = first + body.readUInt32BE(0);
        if (file < this.#files.size)
          this.#files.set(file, Field.count, this.#files.get(file, Field.count) + 1);
      }
    }
  }

  *#records(journal: number, offset = 0, at = 0): Generator<JournalRecord> {
    for (let batch = offset; ; at = 0) {
      const records = this.#read(journal, batch);
      if (!records) return;
      for (let from = at; from + RECORD_HEADER_BYTES <= records.length;) {
        const body = from + RECORD_HEADER_BYTES;
        const next = body + records.readUInt32BE(from);
        yield { type: records[from + 4] ?? 0, body: records.subarray(body, next), batch, at: from };
        from = next;
      }
      batch += BATCH_HEADER_BYTES + records.length;
    }
  }

  /** The records of the batch at `offset`; undefined where the journal ends. */
  #read(journal: number, offset: number): Buffer | undefined {
    if (this.#batch?.journal === journal && this.#batch.offset === offset) return this.#batch.records;
    const file = this.#journals[journal] ?? -1;
    const header = Buffer.alloc(BATCH_HEADER_BYTES);
    if (readSync(file, header, 0, header.length, offset) < header.length) return undefined;
    const length = header.readUInt32BE(0);
    if (length > MAX_BATCH_BYTES) return undefined;
    const records = Buffer.allocUnsafeSlow(length);
    if (readSync(file, records, 0, length, offset + header.length) < length) return undefined;
    if (batchChecksum(records).compare(header, 4, 8) !== 0) return undefined;
    this.#batch = { journal, offset, records };
    return records;
  }
}

function idOf(key: string): Uint8Array {
  return createHash("sha256").update(key, "latin1").digest();
}
