// SPDX-License-Identifier: MIT
/**
 * Removing a file so that no power cut can bring it back looking whole, and nothing of it can be taken for a header in
 * the file that gets its clusters next. firmware/DESIGN.md "Removing a blob".
 */
import { attempt } from "./attempt";
import { BLOB_COMMIT_OFFSET, SECTOR_BYTES } from "../protocol/card-format";
import { StorageError } from "./io";
import type { StorageFile } from "./io";
import { blobPath } from "./store-parts";
import type { StoreParts } from "./store-parts";

/** Identity, progress and commit. */
const BLOB_HEADER_BYTES = BLOB_COMMIT_OFFSET + SECTOR_BYTES;

/** The caller has made sure that the blob's id is durable in a slot, and keeps that slot until `done`. */
export function removeBlob(parts: StoreParts, hexId: string, done: (error?: unknown) => void): void {
  removeFile(parts, blobPath(hexId), { end: BLOB_HEADER_BYTES }, done);
}

/** Zeros written at once: a buffer that a board has room for. */
const PIECE_BYTES = 4096;

export interface ErasedRange {
  /** Default 0. */
  from?: number;
  end: number;
}

/**
 * The bytes from `from` to `end` to zeros, flush, remove, flush of the table (which confirms the removal). A file that is
 * not there counts as removed.
 */
export function removeFile(
  parts: StoreParts,
  path: string,
  { from = 0, end }: ErasedRange,
  done: (error?: unknown) => void,
): void {
  const { storage, table } = parts;
  let file: StorageFile;
  try {
    file = storage.openFile(path, "update");
  } catch (error) {
    if (error instanceof StorageError && error.code === "notFound") table.sync(done);
    else done(error);
    return;
  }
  try {
    if (file.sizeBytes >= end) {
      const zeros = new Uint8Array(Math.min(end - from, PIECE_BYTES));
      for (let at = from; at < end; at += PIECE_BYTES) file.write(zeros.subarray(0, end - at), at);
    }
  } catch (error) {
    file.close();
    done(error);
    return;
  }
  file.flush((flushError) => {
    file.close();
    if (flushError) done(flushError);
    else {
      attempt(() => {
        storage.remove(path);
        table.sync(done);
      }, done);
    }
  });
}

/**
 * The same for a boot, before any room is given out. A file whose clusters may be marked free already, so that it cannot
 * be written, only has to go.
 */
export function removeDoubtful(
  parts: StoreParts,
  path: string,
  range: ErasedRange,
  done: (error?: unknown) => void,
): void {
  removeFile(parts, path, range, (error) => {
    if (!(error instanceof StorageError) || error.code !== "io") done(error);
    else {
      attempt(() => {
        parts.storage.remove(path);
        parts.table.sync(done);
      }, done);
    }
  });
}
