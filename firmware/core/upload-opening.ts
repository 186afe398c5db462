// SPDX-License-Identifier: MIT
/**
 * From "a client wants to store this blob" to an open file that data can be written to: resumed, or made anew in the
 * order intent, creation, confirmation. firmware/DESIGN.md "Storing a blob" numbers the writes.
 */
import { BLOB_DATA_OFFSET } from "../protocol/card-format";
import { FailureCode } from "../protocol/verbs";
import { attempt } from "./attempt";
import { newBlobHeader, readBlobState, writeProgress } from "./blob-header";
import { removeBlob } from "./blob-removal";
import { evictOldest, makeRoom } from "./eviction";
import { StorageError } from "./io";
import type { StorageFile } from "./io";
import { Refusal } from "./refusal";
import { blobPath } from "./store-parts";
import type { StoreParts } from "./store-parts";
import type { Slot } from "./upload-table";

export interface OpenedUpload {
  slot: Slot;
  file: StorageFile;
  upload: Uint8Array;
  durableBytes: number;
  /** Of the newest progress sector. */
  generation: number;
}

export interface UploadOpening {
  id: Uint8Array;
  hexId: string;
  sizeBytes: number;
}

type Opened = (error: unknown, opened?: OpenedUpload) => void;

/** The blob is neither stored nor active. `done` may be called inside this call. */
export function openUpload(parts: StoreParts, blob: UploadOpening, done: Opened): void {
  const slot = parts.table.find(blob.hexId);
  if (slot?.state === "idle") resume(parts, blob, slot, done);
  else if (slot) done(new Refusal(FailureCode.blobBusy, "this blob is being removed; try again"));
  else takeSlot(parts, blob, done);
}

function resume(parts: StoreParts, blob: UploadOpening, slot: Slot, done: Opened): void {
  slot.state = "active";
  const failed = (error: unknown): void => {
    slot.state = "idle";
    done(error);
  };
  let file: StorageFile | undefined;
  try {
    file = parts.storage.openFile(blobPath(blob.hexId), "update");
    const state = readBlobState(file, blob.id);
    if (state.kind === "partial" && state.sizeBytes === blob.sizeBytes) {
      const { upload, durableBytes, generation } = state;
      done(undefined, { slot, file, upload, durableBytes, generation });
      return;
    }
    file.close();
  } catch (error) {
    file?.close();
    if (!(error instanceof StorageError) || error.code !== "notFound") {
      failed(error);
      return;
    }
  }
  // Another size than the client says now, or not readable any more: from the start.
  removeBlob(parts, blob.hexId, (error) => {
    if (error) failed(error);
    else claim(parts, blob, slot, done);
  });
}

function takeSlot(parts: StoreParts, blob: UploadOpening, done: Opened): void {
  const slot = parts.table.freeSlot();
  if (slot) {
    claim(parts, blob, slot, done);
    return;
  }
  evictOldest(parts, (error, evicted) => {
    if (error) done(error);
    else if (!evicted) done(new Refusal(FailureCode.tooMany, "too many uploads at once; try again later"));
    else takeSlot(parts, blob, done);
  });
}

function claim(parts: StoreParts, blob: UploadOpening, slot: Slot, done: Opened): void {
  const failed = (error: unknown): void => {
    giveUp(parts, blob, slot, error, done);
  };
  attempt(() => {
    parts.table.claim(slot, "active", blob.id, blob.sizeBytes, (error) => {
      if (error) failed(error);
      else create(parts, blob, slot, false, done);
    });
  }, failed);
}

function create(parts: StoreParts, blob: UploadOpening, slot: Slot, isLastTry: boolean, done: Opened): void {
  const room = BLOB_DATA_OFFSET + blob.sizeBytes;
  let file: StorageFile | undefined;
  try {
    file = parts.storage.openFile(blobPath(blob.hexId), "create");
    file.allocate(room);
    confirm(parts, blob, slot, file, done);
  } catch (error) {
    file?.close();
    const code = error instanceof StorageError ? error.code : undefined;
    // "exists": stored once and not readable any more, as the caller found: it makes way for the same blob, whole.
    if (isLastTry || (code !== "full" && code !== "exists")) {
      giveUp(parts, blob, slot, error, done);
      return;
    }
    removeBlob(parts, blob.hexId, (failure) => {
      if (failure) giveUp(parts, blob, slot, failure, done);
      else if (code === "exists") create(parts, blob, slot, false, done);
      else {
        makeRoom(parts, room, (_, evicted) => {
          if (evicted === 0) giveUp(parts, blob, slot, error, done);
          else create(parts, blob, slot, true, done);
        });
      }
    });
  }
}

/** Header, flush, first progress: from here on the file is known to be whole whatever happens. */
function confirm(parts: StoreParts, blob: UploadOpening, slot: Slot, file: StorageFile, done: Opened): void {
  const upload = new Uint8Array(16);
  parts.entropy.fill(upload);
  file.write(newBlobHeader({ id: blob.id, sizeBytes: blob.sizeBytes, upload }), 0);
  const confirmed = (error?: unknown): void => {
    try {
      if (error) throw error as Error;
      writeProgress(file, upload, 0, 0);
    } catch (failure) {
      file.close();
      giveUp(parts, blob, slot, failure, done);
      return;
    }
    done(undefined, { slot, file, upload, durableBytes: 0, generation: 0 });
  };
  if (parts.limits.flushProgress) file.flush(confirmed);
  else parts.timers.set(0, confirmed);
}

/** Takes back what there is. Where even that fails the slot stays, so that the next boot looks at the file. */
function giveUp(parts: StoreParts, blob: UploadOpening, slot: Slot, error: unknown, done: Opened): void {
  removeBlob(parts, blob.hexId, (failure) => {
    if (failure) slot.state = "idle";
    else parts.table.release(slot);
    done(error);
  });
}
