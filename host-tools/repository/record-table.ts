// SPDX-License-Identifier: MIT
/**
 * Any number of records in bounded memory: each an id and a few numbers, kept in the order in which they were added and
 * found by number or by id. The newest are in memory, in a hash table; when they are many they go to temporary files,
 * the records to one and their keys to sorted runs. Runs of similar length are merged, so there are few of them.
 *
 * Ids are outputs of a hash: their first bytes serve as the key.
 */

import { KeyRun } from "./key-run";
import { TemporaryFile } from "./temporary-file";

const ID_BYTES = 32;
const ID_WORDS = ID_BYTES / 4;
const FIRST_RECORDS = 512;
/** Records in memory: 3.5 MiB with four numbers each. */
const RECENT_RECORDS = 65_536;
/** Older ones are read so many at once: whoever reads one mostly reads its neighbours. */
const BLOCK_RECORDS = 64;
/** A run is merged with the one before when that is at most so many times as long: few runs, and few merges. */
const MERGE_FACTOR = 4;
const NONE: readonly number[] = [];

export class RecordTable {
  readonly #folder: string;
  readonly #words: number;
  readonly #maxRecent: number;
  /** The records from number `#older` on. */
  #recent: Uint32Array;
  #recentBytes: Uint8Array;
  #recentCount = 0;
  /** Place in `#recent` + 1 in each slot; 0 is free. Never more than half full. */
  #slots: Uint32Array;
  #older = 0;
  #file: TemporaryFile | undefined;
  /** Why moving records to the files failed: what there is can no longer be relied on to be all. */
  #failure: { error: unknown } | undefined;
  readonly #runs: KeyRun[] = [];
  /** What was looked for last: it is often looked for again. */
  readonly #lastId = new Uint8Array(ID_BYTES);
  #lastFound: readonly number[] | undefined;
  /** A copy of some of the older ones. */
  readonly #block: Uint32Array;
  readonly #blockBytes: Uint8Array;
  #blockNumber = -1;

  /** `fields`: numbers below 2^32 beside the id. `folder`: for the temporary files. */
  constructor(options: { fields: number; folder: string; maxRecent?: number }) {
    this.#folder = options.folder;
    this.#words = ID_WORDS + options.fields;
    this.#maxRecent = options.maxRecent ?? RECENT_RECORDS;
    const count = Math.min(FIRST_RECORDS, this.#maxRecent);
    this.#recent = new Uint32Array(count * this.#words);
    this.#recentBytes = new Uint8Array(this.#recent.buffer);
    this.#slots = new Uint32Array(slotsFor(count));
    this.#block = new Uint32Array(BLOCK_RECORDS * this.#words);
    this.#blockBytes = new Uint8Array(this.#block.buffer);
  }

  get size(): number {
    return this.#older + this.#recentCount;
  }

  /** Adds a record with the id that is in `bytes` from `at` on, all numbers 0, and gives the record's number. */
  add(bytes: Uint8Array, at = 0): number {
    if ((this.#recentCount + 1) * this.#words > this.#recent.length) this.#makeRoom();
    this.#lastFound = undefined;
    const place = this.#recentCount++;
    const from = place * this.#words * 4;
    // A loop is faster than any call for so few bytes.
    for (let i = 0; i < ID_BYTES; i++) this.#recentBytes[from + i] = bytes[at + i] ?? 0;
    this.#recent.fill(0, place * this.#words + ID_WORDS, (place + 1) * this.#words);
    this.#place(place);
    return this.#older + place;
  }

  get(number: number, field: number): number {
    const at = number - this.#older;
    if (at >= 0) return this.#recent[at * this.#words + ID_WORDS + field] ?? 0;
    return this.#block[this.#inBlock(number) + ID_WORDS + field] ?? 0;
  }

  set(number: number, field: number, value: number): void {
    const at = number - this.#older;
    if (at >= 0) {
      this.#recent[at * this.#words + ID_WORDS + field] = value;
      return;
    }
    const word = this.#inBlock(number) + ID_WORDS + field;
    this.#block[word] = value;
    this.#file?.write(
      this.#blockBytes.subarray(word * 4, word * 4 + 4),
      (number * this.#words + ID_WORDS + field) * 4,
    );
  }

  /** A copy. */
  idOf(number: number): Uint8Array {
    const at = number - this.#older;
    const bytes = at >= 0 ? this.#recentBytes : this.#blockBytes;
    const from = 4 * (at >= 0 ? at * this.#words : this.#inBlock(number));
    return bytes.slice(from, from + ID_BYTES);
  }

  /** Numbers of the records with this id, the first one first. */
  find(id: Uint8Array): readonly number[] {
    this.#throwFailure();
    if (this.#lastFound && isId(this.#lastId, 0, id)) return this.#lastFound;
    this.#lastFound = this.#find(id);
    this.#lastId.set(id);
    return this.#lastFound;
  }

  #find(id: Uint8Array): readonly number[] {
    let found: number[] | undefined;
    if (this.#runs.length > 0) {
      const candidates: number[] = [];
      const key = keyOf(id, 0);
      for (const run of this.#runs) run.find(key, candidates);
      for (const number of candidates)
        if (isId(this.#blockBytes, this.#inBlock(number) * 4, id)) (found ??= []).push(number);
    }
    const slots = this.#slots;
    for (let slot = keyOf(id, 0) & (slots.length - 1); ; slot = (slot + 1) & (slots.length - 1)) {
      const place = (slots[slot] ?? 0) - 1;
      if (place < 0) return found ?? NONE;
      if (isId(this.#recentBytes, place * this.#words * 4, id)) (found ??= []).push(this.#older + place);
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  close(): void {
    this.#file?.close();
    for (const run of this.#runs.splice(0)) run.close();
  }

  #place(place: number): void {
    const slots = this.#slots;
    let slot = keyOf(this.#recentBytes, place * this.#words * 4) & (slots.length - 1);
    while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1);
    slots[slot] = place + 1;
  }

  #makeRoom(): void {
    if (this.#recentCount >= this.#maxRecent) {
      this.#throwFailure();
      try {
        this.#moveOut();
      } catch (error) {
        this.#failure = { error };
        throw error;
      }
      return;
    }
    const count = Math.min(this.#maxRecent, 2 * this.#recentCount);
    const recent = new Uint32Array(count * this.#words);
    recent.set(this.#recent);
    this.#recent = recent;
    this.#recentBytes = new Uint8Array(recent.buffer);
    this.#slots = new Uint32Array(slotsFor(count));
    for (let place = 0; place < this.#recentCount; place++) this.#place(place);
  }

  /** What is in memory goes to the files. */
  #moveOut(): void {
    const count = this.#recentCount;
    this.#file ??= new TemporaryFile(this.#folder);
    this.#file.write(this.#recentBytes, this.#older * this.#words * 4);
    // Key and place in one exact number each, because those are sorted fastest.
    const order = new Float64Array(count);
    for (let place = 0; place < count; place++)
      order[place] = keyOf(this.#recentBytes, place * this.#words * 4) * RECENT_RECORDS + place;
    order.sort();
    const pairs = new Uint32Array(2 * count);
    order.forEach((both, i) => {
      pairs[2 * i] = Math.floor(both / RECENT_RECORDS);
      pairs[2 * i + 1] = this.#older + (both % RECENT_RECORDS);
    });
    let run = KeyRun.of(pairs, this.#folder);
    for (
      let last = this.#runs.at(-1);
      last && last.length <= MERGE_FACTOR * run.length;
      last = this.#runs.at(-1)
    ) {
      this.#runs.pop();
      run = KeyRun.merge(last, run, this.#folder);
    }
    this.#runs.push(run);
    this.#older += count;
    this.#recentCount = 0;
    this.#slots.fill(0);
    // It may have had the beginning of what is there now.
    this.#blockNumber = -1;
  }

  /** Where in `#block` the older record with this number begins. */
  #inBlock(number: number): number {
    const block = Math.floor(number / BLOCK_RECORDS);
    if (block !== this.#blockNumber) {
      this.#file?.read(this.#blockBytes, block * this.#blockBytes.length);
      this.#blockNumber = block;
    }
    return (number % BLOCK_RECORDS) * this.#words;
  }
}

/** A power of two. */
function slotsFor(records: number): number {
  return 2 ** Math.ceil(Math.log2(2 * records));
}

function keyOf(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  );
}

function isId(bytes: Uint8Array, at: number, id: Uint8Array): boolean {
  for (let i = 0; i < ID_BYTES; i++) if (bytes[at + i] !== id[i]) return false;
  return true;
}
