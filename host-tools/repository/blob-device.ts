// SPDX-License-Identifier: MIT
/**
 * What the repository needs of a device: opaque blobs under their SHA-256, and append-only logs. `DeviceClient` of
 * host-tools/remote is one over the relay; tests use devices in memory and in a folder.
 *
 * Contract: `put` returns only when the blob is whole, verified and durable, and goes on where an earlier, interrupted
 * `put` of the same id stopped. `get` answers with at most the bytes asked for, fewer only at the end of the blob.
 * `logAppend` appends only when `previous` is the hash of the log's last entry. Failures are thrown as `Refusal`;
 * another head than the caller named as `LogConflict`.
 * Nothing that comes back is trusted: every blob, chunk and entry is verified by its reader.
 */

/** The state of a log on a device: how many entries, and the hash of the last (32 zero bytes: none). */
export interface LogHead {
  count: number;
  head: Uint8Array;
}

export interface BlobDeviceStatus {
  capacityBytes: number;
  freeBytes: number;
  /** The blob size that the device likes best: the target size of packs. */
  preferredBlobBytes: number;
}

export interface PutResult {
  /** The device had the whole blob already. */
  wasStored: boolean;
  /** Bytes of the blob that travelled this time. */
  sentBytes: number;
}

export interface BlobDevice {
  readonly name: string;
  status(): Promise<BlobDeviceStatus>;
  /** For each id whether the blob is stored whole. Any number of ids. */
  has(ids: readonly Uint8Array[]): Promise<boolean[]>;
  /** `parts` one after the other are the blob. They must not change until the promise settles. */
  put(id: Uint8Array, parts: readonly Uint8Array[]): Promise<PutResult>;
  /** With `into` the answer may be a view of it. */
  get(id: Uint8Array, offsetBytes: number, lengthBytes: number, into?: Uint8Array): Promise<Uint8Array>;
  list(): AsyncIterable<{ id: Uint8Array; sizeBytes: number }>;
  /** How many were deleted. */
  delete(ids: readonly Uint8Array[]): Promise<number>;
  logHead(log: Uint8Array): Promise<LogHead>;
  logAppend(log: Uint8Array, previous: Uint8Array, entry: Uint8Array): Promise<LogHead>;
  /**
   * Entries from sequence `from` on (at least one when there is one); `previous` is the hash of the entry before them.
   * Throws LogTrimmed when the device has forgotten the entry `from`.
   */
  logRead(log: Uint8Array, from: number, previous: Uint8Array): Promise<LogHead & { entries: Uint8Array[] }>;
  /**
   * Lets the device forget entries below `before`, as many as it can do without; answers with the sequence of the first
   * that it has left (`before` 0 only asks). `head` has to be the hash of the log's last entry. Count and head stay.
   */
  logTrim(log: Uint8Array, before: number, head: Uint8Array): Promise<number>;
  /**
   * Lets the log begin anew with this entry, as the one of sequence `first` after one with the hash `previous`: what the
   * device has of it before is given up. For a device with less than `first` entries; where the log ends just there it is
   * an append. Throws LogConflict when the device has more, or another last entry.
   */
  logSkip(log: Uint8Array, first: number, previous: Uint8Array, entry: Uint8Array): Promise<LogHead>;
  logList(): Promise<(LogHead & { log: Uint8Array })[]>;
}
