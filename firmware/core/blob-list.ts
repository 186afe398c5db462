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

/** Returns what ends the work early; `done` comes all the same. */
export function listBlobs(
  parts: StoreParts,
  options: { after: Uint8Array; limit: number; storedBytes(id: Uint8Array): number | undefined },
  done: (error: unknown, page?: BlobPage) => void,
): () => void {
  const lister = new Lister(parts, options);
  inSlices(
    parts.timers,
    () => lister.step(),
    (error) => {
      const { blobs } = lister;
      if (error) done(error);
      else done(undefined, { more: blobs.length > options.limit, blobs: blobs.slice(0, options.limit) });
    },
  );
  return () => {
    lister.isCancelled = true;
  };
}

class Lister {
  /** One more than the page, to know whether there is more. */
  readonly blobs: ListedBlob[] = [];
  isCancelled = false;
  readonly #parts: StoreParts;
  readonly #storedBytes: (id: Uint8Array) => number | undefined;
  readonly #wanted: number;
  /** Names above this one; "" is below all. */
  #cursor: string;
  #folder: number;
  /** Names are gathered until there is a page of them or no more folder; then they are looked at. */
  #isScanning = true;
  /** The smallest names above the cursor, ascending, and how many of them were looked at. */
  #names: string[] = [];
  #looked = 0;

  constructor(
    parts: StoreParts,
    options: { after: Uint8Array; limit: number; storedBytes(id: Uint8Array): number | undefined },
  ) {
    this.#parts = parts;
    this.#storedBytes = (id) => options.storedBytes(id);
    this.#wanted = options.limit + 1;
    this.#cursor = options.after.every((byte) => byte === 0) ? "" : toHex(options.after);
    this.#folder = options.after[0] ?? 0;
  }

  /** One slice of work; false when the page is full or the card is through. */
  step(): boolean {
    let budget = SLICE_COST;
    while (budget > 0 && this.blobs.length < this.#wanted) {
      if (this.#isScanning) {
        if (this.#folder < FOLDERS && !this.#isBatchFull) budget -= FOLDER_COST + this.#scan(this.#folder++);
        else this.#isScanning = false;
      } else if (this.#looked < this.#names.length) {
        this.#look(this.#names[this.#looked++] ?? "");
        budget -= HEADER_COST;
      } else if (this.#isBatchFull) {
        this.#cursor = this.#names.at(-1) ?? this.#cursor;
        this.#folder = parseInt(this.#cursor.slice(0, 2), 16);
        this.#names = [];
        this.#looked = 0;
        this.#isScanning = true;
      } else return false;
    }
    return this.blobs.length < this.#wanted && !this.isCancelled;
  }

  get #isBatchFull(): boolean {
    return this.#names.length >= this.#wanted;
  }

  #look(name: string): void {
    const id = fromHex(name, HASH_BYTES);
    if (!id) return;
    const sizeBytes = this.#storedBytes(id);
    if (sizeBytes !== undefined) this.blobs.push({ id, sizeBytes });
  }

  /** Adds the smallest names of a folder, as many as still fit; returns how many entries it has. */
  #scan(folder: number): number {
    const start = this.#names.length;
    let entries = 0;
    const scan = this.#parts.storage.scan(blobFolder(folder));
    try {
      for (let entry = scan.next(); entry; entry = scan.next()) {
        entries++;
        const { name, isDirectory } = entry;
        if (!isDirectory && name.length === 2 * HASH_BYTES && name > this.#cursor) this.#insert(name, start);
      }
    } finally {
      scan.close();
    }
    return entries;
  }

  #insert(name: string, start: number): void {
    const names = this.#names;
    let at = names.length;
    while (at > start && (names[at - 1] ?? "") > name) at--;
    if (at >= this.#wanted) return;
    names.splice(at, 0, name);
    if (names.length > this.#wanted) names.pop();
  }
}
