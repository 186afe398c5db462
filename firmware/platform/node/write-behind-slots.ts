// SPDX-License-Identifier: MIT
/** What `WriteBehind` and its thread share: a ring of slots, each a write to one file. */

/** Two uploads' worth of pieces; the memory is allocated with the first write. */
export const SLOTS = 8;
/** HOST_LIMITS.writeBytes: an upload's whole buffer. */
export const SLOT_BYTES = 256 * 1024;

/** Index into `counters`: writes handed over, and those done. 2^31 of them are 512 TiB. */
export const SUBMITTED = 0;
export const COMPLETED = 1;

export enum SlotField {
  fd,
  serial,
  length,
  errno,
}
export const SLOT_FIELDS = 4;

export interface Shared {
  counters: Int32Array<SharedArrayBuffer>;
  /** SLOT_FIELDS of each slot. */
  fields: Int32Array<SharedArrayBuffer>;
  /** In the file, of each slot. */
  positions: Float64Array<SharedArrayBuffer>;
  data: Uint8Array<SharedArrayBuffer>;
}
