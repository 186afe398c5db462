// SPDX-License-Identifier: MIT
/**
 * Which records have a key: pairs of numbers (key, record), in ascending order of both, in a temporary file. In memory
 * is only the first key of every page: 8 KiB for a million pairs. A lookup reads one page, rarely two.
 */

import { TemporaryFile } from "./temporary-file";

const PAIR_BYTES = 8;
const PAGE_PAIRS = 512;
/** Read and written at once while two runs are merged. */
const MERGE_PAIRS = 16 * PAGE_PAIRS;

export class KeyRun {
  readonly length: number;
  readonly #file: TemporaryFile;
  /** Of each page. */
  readonly #firstKeys: Uint32Array;
  readonly #page = new Uint32Array(2 * PAGE_PAIRS);

  /** `pairs`: key and record, key and record. */
  static of(pairs: Uint32Array, folder: string): KeyRun {
    const writer = new RunWriter(pairs.length / 2, folder);
    writer.write(pairs);
    return writer.finish();
  }

  /** Both in one; of the same key those of `a` come first. The two are closed. */
  static merge(a: KeyRun, b: KeyRun, folder: string): KeyRun {
    const writer = new RunWriter(a.length + b.length, folder);
    const out = new Uint32Array(2 * MERGE_PAIRS);
    const from = [new RunCursor(a), new RunCursor(b)] as const;
    let filled = 0;
    for (let left = a.length + b.length; left > 0; left--) {
      const cursor = from[0].key <= from[1].key ? from[0] : from[1];
      out[filled++] = cursor.key;
      out[filled++] = cursor.record;
      cursor.advance();
      if (filled < out.length && left > 1) continue;
      writer.write(out.subarray(0, filled));
      filled = 0;
    }
    a.close();
    b.close();
    return writer.finish();
  }

  constructor(file: TemporaryFile, length: number, firstKeys: Uint32Array) {
    this.#file = file;
    this.length = length;
    this.#firstKeys = firstKeys;
  }

  /** Adds the records with this key to `into`. */
  find(key: number, into: number[]): void {
    // The last page that begins before the key may end with it.
    let page = Math.max(0, this.#pagesBefore(key) - 1);
    const words = this.#page;
    for (; page < this.#firstKeys.length && (this.#firstKeys[page] ?? 0) <= key; page++) {
      const pairs = this.read(words, page * PAGE_PAIRS);
      let low = 0;
      let high = pairs;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((words[2 * middle] ?? 0) < key) low = middle + 1;
        else high = middle;
      }
      for (; low < pairs; low++) {
        if (words[2 * low] !== key) return;
        into.push(words[2 * low + 1] ?? 0);
      }
    }
  }

  /** How many pairs there were from number `at` on, up to what `into` holds. */
  read(into: Uint32Array, at: number): number {
    const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
    return Math.floor(this.#file.read(bytes, at * PAIR_BYTES) / PAIR_BYTES);
  }

  close(): void {
    this.#file.close();
  }

  /** Pages whose first key is smaller. */
  #pagesBefore(key: number): number {
    let low = 0;
    let high = this.#firstKeys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#firstKeys[middle] ?? 0) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

class RunWriter {
  readonly #file: TemporaryFile;
  readonly #firstKeys: Uint32Array;
  readonly #length: number;
  #written = 0;

  constructor(length: number, folder: string) {
    this.#length = length;
    this.#file = new TemporaryFile(folder);
    this.#firstKeys = new Uint32Array(Math.ceil(length / PAGE_PAIRS));
  }

  /** Whole pages, but for the last ones. */
  write(pairs: Uint32Array): void {
    for (let at = 0; at < pairs.length; at += 2 * PAGE_PAIRS)
      this.#firstKeys[(this.#written + at / 2) / PAGE_PAIRS] = pairs[at] ?? 0;
    this.#file.write(
      new Uint8Array(pairs.buffer, pairs.byteOffset, pairs.byteLength),
      this.#written * PAIR_BYTES,
    );
    this.#written += pairs.length / 2;
  }

  finish(): KeyRun {
    return new KeyRun(this.#file, this.#length, this.#firstKeys);
  }
}

class RunCursor {
  key = Infinity;
  record = 0;
  readonly #run: KeyRun;
  readonly #pairs = new Uint32Array(2 * MERGE_PAIRS);
  #next = 0;
  #at = 0;
  #filled = 0;

  constructor(run: KeyRun) {
    this.#run = run;
    this.advance();
  }

  advance(): void {
    if (this.#at === this.#filled) {
      const count = this.#run.read(this.#pairs, this.#next);
      this.#next += count;
      this.#filled = 2 * count;
      this.#at = 0;
    }
    if (this.#filled === 0) {
      this.key = Infinity;
      return;
    }
    this.key = this.#pairs[this.#at++] ?? 0;
    this.record = this.#pairs[this.#at++] ?? 0;
  }
}
