// SPDX-License-Identifier: MIT
/** What the header sectors of a blob file say about it. firmware/DESIGN.md "Storing a blob". */
import {
  BLOB_COMMIT_OFFSET,
  BLOB_DATA_OFFSET,
  BLOB_IDENTITY_OFFSET,
  BLOB_PROGRESS_OFFSETS,
  blobCommit,
  blobIdentity,
  blobProgress,
} from "../protocol/card-format";
import { CARD_VERSION } from "../protocol/limits";
import { isEqual } from "../protocol/session";
import { readSector, sectorOf, writeSector } from "./card-sector";
import type { StorageFile } from "./io";

export interface BlobUpload {
  id: Uint8Array;
  sizeBytes: number;
  /** Random, made for this upload. */
  upload: Uint8Array;
}

/**
 * stored: acknowledged or about to be; partial: its creation was confirmed by an ended flush and its first
 * `durableBytes` were too; invalid: neither, whatever the reason.
 */
export type BlobState =
  | { kind: "stored"; sizeBytes: number }
  | { kind: "partial"; sizeBytes: number; upload: Uint8Array; durableBytes: number; generation: number }
  | { kind: "invalid" };

export function readBlobState(file: StorageFile, id: Uint8Array): BlobState {
  const identity = readSector(file, BLOB_IDENTITY_OFFSET, blobIdentity);
  if (!identity || !isEqual(identity.id, id)) return { kind: "invalid" };
  const { upload, sizeBytes } = identity;
  if (file.sizeBytes !== BLOB_DATA_OFFSET + sizeBytes) return { kind: "invalid" };
  const commit = readSector(file, BLOB_COMMIT_OFFSET, blobCommit);
  if (commit && isEqual(commit.upload, upload) && isEqual(commit.id, id) && commit.sizeBytes === sizeBytes) {
    return { kind: "stored", sizeBytes };
  }
  let state: BlobState = { kind: "invalid" };
  for (const offset of BLOB_PROGRESS_OFFSETS) {
    const progress = readSector(file, offset, blobProgress);
    if (!progress || !isEqual(progress.upload, upload) || progress.durableBytes > sizeBytes) continue;
    if (state.kind === "partial" && state.generation > progress.generation) continue;
    const { durableBytes, generation } = progress;
    state = { kind: "partial", sizeBytes, upload, durableBytes, generation };
  }
  return state;
}

/** The 4096 bytes in front of the data: the identity, all else zero. */
export function newBlobHeader(blob: BlobUpload): Uint8Array {
  const header = new Uint8Array(BLOB_DATA_OFFSET);
  header.set(sectorOf(blobIdentity, { version: CARD_VERSION, ...blob }), BLOB_IDENTITY_OFFSET);
  return header;
}

/** To the place that does not hold the newest progress. */
export function writeProgress(
  file: StorageFile,
  upload: Uint8Array,
  generation: number,
  durableBytes: number,
): void {
  const offset = BLOB_PROGRESS_OFFSETS[generation % 2 === 0 ? 0 : 1];
  writeSector(file, offset, blobProgress, { upload, generation, durableBytes });
}

export function writeCommit(file: StorageFile, blob: BlobUpload): void {
  writeSector(file, BLOB_COMMIT_OFFSET, blobCommit, { ...blob });
}
