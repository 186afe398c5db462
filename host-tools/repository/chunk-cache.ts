// SPDX-License-Identifier: MIT
/**
 * Sealed chunks of folders and lists, kept on this computer so that a listing asks no device twice. One file of records
 * (id, u32 length, sealed chunk), appended to; sealed as on a device, so it tells a thief no more than the device, and
 * what does not open is as good as absent. Started again when it gets larger than MAX_CACHE_BYTES.
 */

import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { CHUNK_ID_BYTES } from "./chunk-cipher";
import { MAX_CHUNK_BYTES } from "./chunker";
import { RecordTable } from "./record-table";

const MAX_CACHE_BYTES = 256 * 1024 * 1024;
const RECORD_BYTES = CHUNK_ID_BYTES + 4;
const WINDOW_BYTES = 1024 * 1024;
const FLUSH_BYTES = 256 * 1024;
const Field = { offset: 0, length: 1 } as const;
/** In place of the length of a chunk that did not open. */
const DROPPED = 0;

export class ChunkCache {
  readonly #file: number;
  readonly #folder: string;
  /** Offset and length of each sealed chunk in the file. */
  #places: RecordTable;
  #sizeBytes = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isUsable = true;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#folder = folder;
    this.#places = this.#noPlaces();
    this.#file = openSync(join(folder, "chunks"), "a+", 0o600);
    const sizeBytes = fstatSync(this.#file).size;
    if (sizeBytes > MAX_CACHE_BYTES) ftruncateSync(this.#file, 0);
    else this.#scan(sizeBytes);
  }

  get(id: Uint8Array): Buffer | undefined {
    if (this.#waiting.length > 0 && this.#places.find(id).length > 0) this.flush();
    const place = this.#places.find(id).at(-1);
    if (place === undefined) return undefined;
    const length = this.#places.get(place, Field.length);
    if (length === DROPPED) return undefined;
    const offset = this.#places.get(place, Field.offset);
    const sealed = Buffer.allocUnsafe(length);
    return readSync(this.#file, sealed, 0, length, offset) === length ? sealed : undefined;
  }

  put(id: Uint8Array, sealed: Uint8Array): void {
    if (!this.#isUsable || this.#isPresent(id)) return;
    const record = Buffer.allocUnsafe(RECORD_BYTES + sealed.length);
    record.set(id, 0);
    record.writeUInt32BE(sealed.length, CHUNK_ID_BYTES);
    record.set(sealed, RECORD_BYTES);
    this.#add(id, 0, this.#sizeBytes + this.#waitingBytes + RECORD_BYTES, sealed.length);
    this.#waiting.push(record);
    this.#waitingBytes += record.length;
    if (this.#waitingBytes >= FLUSH_BYTES) this.flush();
  }

  /** Forgets a chunk that did not open. */
  drop(id: Uint8Array): void {
    for (const place of this.#places.find(id)) this.#places.set(place, Field.length, DROPPED);
  }

  flush(): void {
    if (this.#waitingBytes === 0) return;
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    try {
      // Another process may have appended meanwhile: then the places of this batch are wrong and must be found again.
      const before = fstatSync(this.#file).size;
      writeSync(this.#file, bytes);
      if (before === this.#sizeBytes) this.#sizeBytes = before + bytes.length;
      else this.#scan(before + bytes.length);
    } catch {
      // A cache that cannot be written is no reason to stop.
      this.#isUsable = false;
      this.#forget();
    }
  }

  close(): void {
    this.flush();
    closeSync(this.#file);
    this.#places.close();
  }

  #isPresent(id: Uint8Array): boolean {
    const place = this.#places.find(id).at(-1);
    return place !== undefined && this.#places.get(place, Field.length) !== DROPPED;
  }

  #add(bytes: Uint8Array, idAt: number, offset: number, length: number): void {
    const place = this.#places.add(bytes, idAt);
    this.#places.set(place, Field.offset, offset);
    this.#places.set(place, Field.length, length);
  }

  #forget(): void {
    this.#places.close();
    this.#places = this.#noPlaces();
  }

  #noPlaces(): RecordTable {
    return new RecordTable({ fields: Object.keys(Field).length, folder: this.#folder });
  }

  #scan(sizeBytes: number): void {
    this.#forget();
    let window = Buffer.allocUnsafe(WINDOW_BYTES);
    let from = 0;
    let at = 0;
    window = window.subarray(0, readSync(this.#file, window, 0, WINDOW_BYTES, 0));
    while (at + RECORD_BYTES <= sizeBytes) {
      if (at + RECORD_BYTES > from + window.length) {
        from = at;
        window = Buffer.from(window.buffer, window.byteOffset, WINDOW_BYTES);
        window = window.subarray(0, readSync(this.#file, window, 0, WINDOW_BYTES, from));
        if (window.length < RECORD_BYTES) break;
      }
      const length = window.readUInt32BE(at - from + CHUNK_ID_BYTES);
      if (length > MAX_CHUNK_BYTES + 64 || at + RECORD_BYTES + length > sizeBytes) break;
      this.#add(window, at - from, at + RECORD_BYTES, length);
      at += RECORD_BYTES + length;
    }
    // Appending goes on behind the last whole record: a torn one would hide everything after it.
    if (at < sizeBytes) ftruncateSync(this.#file, at);
    this.#sizeBytes = at;
  }
}
