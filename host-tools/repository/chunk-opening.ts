// SPDX-License-Identifier: MIT
/** Chunks on their way to the thread that opens them, and back: all in memory that both threads see. */

/** What the thread is given of the keys. */
export interface OpeningKeys {
  repositoryId: Uint8Array;
  /** By epoch. */
  chunkKeys: readonly Uint8Array[];
}

export interface SealedRange {
  /** What was received of a pack. */
  bytes: Uint8Array<SharedArrayBuffer>;
  /** CHUNK_ID_BYTES for each chunk of kind data that is wanted of it. */
  ids: Uint8Array;
  /** For each of them where it begins in `bytes`, and how long it is there. */
  places: Uint32Array;
  /** Room for the plaintexts, from `usedBytes` on. */
  slab: Uint8Array<SharedArrayBuffer>;
  usedBytes: number;
}

export interface OpenedRange {
  /** For each chunk where its plaintext begins in the slab, or NOT_OPENED, and how long it is. */
  places: Int32Array;
  usedBytes: number;
}

/** It is damaged, or there is no room for it. */
export const NOT_OPENED = -1;
