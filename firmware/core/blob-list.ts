// SPDX-License-Identifier: MIT
/**
 * A page of the stored blobs in ascending order of id: folders are scanned for the next names, then each file's header is
 * looked at, so that nothing is listed that is not stored whole. RAM: one page, whatever the card holds; the price is
 * that a folder is scanned again for every page that touches it.
 */
import { HASH_BYTES } from "../protocol/limits";
import { fromHex, toHex } from "./hex";
import { inSlices } from "./slices";
import { blobFolder } from "./store-parts";
import type { StoreParts } from "./store-parts";

export interface ListedBlob {
  id: Uint8Array;
  sizeBytes: number;
}

export interface BlobPage {
  more: boolean;
  blobs: ListedBlob[];
}

const FOLDERS = 256;
/** What one timer turn may do: an entry of a folder costs 1. */
const SLICE_COST = 256;
const FOLDER_COST = 16;
const HEADER_COST = 16;

export interface BlobListOptions {
  after: Uint8Array;
  limit: number;
  store: {
    /** The size of a blob that is stored whole; undefined for all else. */
    storedBytes(id: Uint8Array): number | undefined;
  };
  /** Never called inside the constructor; also called, early, after `cancel`. */
  done(error: unknown, page?: BlobPage): void;
}

/** One page, gathered in slices of a timer turn. */
export class BlobLister {
  readonly #found: { name: string; sizeBytes: number }[] = [];
  #isCancelled = false;
  readonly #parts: StoreParts;
  readonly #options: BlobListOptions;
  readonly #wanted: number;
  /** Names above this one; "" is below all. */
  #cursor: string;
  #folder: number;
  /** Names are gathered until there is a page of them or no more folder; then they are looked at. */
  #isScanning = true;
  /** The smallest names above the cursor, ascending, and how many of them were looked at. */
  #names: string[] = [];
  #looked = 0;

  constructor(parts: StoreParts, options: BlobListOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#wanted = options.limit + 1;
    this.#cursor = options.after.every((byte) => byte === 0) ? "" : toHex(options.after);
    this.#folder = options.after[0] ?? 0;
    inSlices(
      parts.timers,
      () => this.step(),
      (error) => {
        if (error) options.done(error);
        else options.done(undefined, this.page());
      },
    );
  }

  cancel(): void {
    this.#isCancelled = true;
  }

  /** Ids as names until now: a board may be gathering a page for each channel, and an id takes seven slots. */
  private page(): BlobPage {
    const { limit } = this.#options;
    const blobs = this.#found.slice(0, limit).map(({ name, sizeBytes }) => {
      return { id: fromHex(name, HASH_BYTES) ?? new Uint8Array(HASH_BYTES), sizeBytes };
    });
    return { more: this.#found.length > limit, blobs };
  }

  /** One slice of work; false when the page is full or the card is through. */
  private step(): boolean {
    let budget = SLICE_COST;
    while (budget > 0 && this.#found.length < this.#wanted) {
      if (this.#isScanning) {
        if (this.#folder < FOLDERS && !this.isBatchFull) budget -= FOLDER_COST + this.scan(this.#folder++);
        else this.#isScanning = false;
      } else if (this.#looked < this.#names.length) {
        this.look(this.#names[this.#looked++] ?? "");
        budget -= HEADER_COST;
      } else if (this.isBatchFull) {
        this.#cursor = this.#names.at(-1) ?? this.#cursor;
        this.#folder = parseInt(this.#cursor.slice(0, 2), 16);
        this.#names = [];
        this.#looked = 0;
        this.#isScanning = true;
      } else return false;
    }
    return this.#found.length < this.#wanted && !this.#isCancelled;
  }

  private get isBatchFull(): boolean {
    return this.#names.length >= this.#wanted;
  }

  private look(name: string): void {
    const id = fromHex(name, HASH_BYTES);
    if (!id) return;
    const sizeBytes = this.#options.store.storedBytes(id);
    if (sizeBytes !== undefined) this.#found.push({ name, sizeBytes });
  }

  /** Adds the smallest names of a folder, as many as still fit; returns how many entries it has. */
  private scan(folder: number): number {
    const start = this.#names.length;
    let entries = 0;
    const scan = this.#parts.storage.scan(blobFolder(folder));
    try {
      for (let entry = scan.next(); entry; entry = scan.next()) {
        entries++;
        const { name, isDirectory } = entry;
        if (!isDirectory && name.length === 2 * HASH_BYTES && name > this.#cursor) this.insert(name, start);
      }
    } finally {
      scan.close();
    }
    return entries;
  }

  private insert(name: string, start: number): void {
    const names = this.#names;
    let at = names.length;
    while (at > start && (names[at - 1] ?? "") > name) at--;
    if (at >= this.#wanted) return;
    names.splice(at, 0, name);
    if (names.length > this.#wanted) names.pop();
  }
}
