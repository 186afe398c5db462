// SPDX-License-Identifier: MIT
/**
 * The blobs on the card: storing, reading, listing, deleting. What two requests may do to one blob at once is decided
 * here; how a blob survives the plug is in `upload-opening`, `upload`, `blob-removal` and `blob-recovery`.
 *
 * RAM: one Upload for each running upload (MAX_UPLOADS - 1 at most), one number for each blob being read.
 */
import { BLOB_DATA_OFFSET } from "../protocol/card-format";
import { MAX_BLOB_BYTES } from "../protocol/limits";
import { FailureCode } from "../protocol/verbs";
import { attempt } from "./attempt";
import { readBlobState } from "./blob-header";
import { BlobLister } from "./blob-list";
import type { BlobPage } from "./blob-list";
import { removeBlob } from "./blob-removal";
import { toHex } from "./hex";
import { StorageError } from "./io";
import type { StorageFile } from "./io";
import { Refusal, refusalOf } from "./refusal";
import { SerialQueue } from "./serial-queue";
import { blobPath, requireWritable } from "./store-parts";
import type { StoreParts } from "./store-parts";
import { Upload } from "./upload";
import type { UploadEvents } from "./upload";

/** A stored blob, open for reading; nobody deletes it meanwhile. */
export class BlobReader {
  readonly sizeBytes: number;
  readonly #hexId: string;
  /** How many read which blob: the store's. */
  readonly #readers: Map<string, number>;
  #file: StorageFile | undefined;

  constructor(file: StorageFile, sizeBytes: number, hexId: string, readers: Map<string, number>) {
    this.sizeBytes = sizeBytes;
    this.#hexId = hexId;
    this.#readers = readers;
    this.#file = file;
    readers.set(hexId, (readers.get(hexId) ?? 0) + 1);
  }

  /** Fills `into` from `offsetBytes`; Refusal "corrupt" when the card gives less. */
  read(into: Uint8Array, offsetBytes: number): void {
    if (this.#file?.read(into, BLOB_DATA_OFFSET + offsetBytes) !== into.length) {
      throw new Refusal(FailureCode.corrupt, "this blob's file is shorter than it was written");
    }
  }

  close(): void {
    if (!this.#file) return;
    this.#file.close();
    this.#file = undefined;
    const readers = (this.#readers.get(this.#hexId) ?? 1) - 1;
    if (readers > 0) this.#readers.set(this.#hexId, readers);
    else this.#readers.delete(this.#hexId);
  }
}

export class BlobStore {
  readonly #parts: StoreParts;
  readonly #uploads = new Map<string, Upload>();
  /** Called when a released upload has ended, so that its blob can be taken up at once by another channel. */
  readonly #waiting = new Map<string, (() => void)[]>();
  readonly #readers = new Map<string, number>();
  readonly #removals = new SerialQueue();
  #isClosed = false;

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  /** Uploads that are running or can be resumed. */
  get uploadCount(): number {
    return this.#parts.table.slots.filter((slot) => slot.state === "idle" || slot.state === "active").length;
  }

  /** Whether the blob is stored whole. Throws StorageError. */
  has(id: Uint8Array): boolean {
    return this.storedBytes(id) !== undefined;
  }

  /** The size of a blob that is stored whole; undefined for all else. */
  storedBytes(id: Uint8Array): number | undefined {
    const hexId = toHex(id);
    if (this.#parts.table.find(hexId)) return undefined;
    let file: StorageFile;
    try {
      file = this.#parts.storage.openFile(blobPath(hexId), "read");
    } catch (error) {
      if (error instanceof StorageError && error.code === "notFound") return undefined;
      throw error;
    }
    try {
      const state = readBlobState(file, id);
      return state.kind === "stored" ? state.sizeBytes : undefined;
    } finally {
      file.close();
    }
  }

  /**
   * Starts or resumes an upload, unless the blob is stored already. Throws Refusal or StorageError.
   * `events.onBegun` gets the upload inside this call or, when the channel that had it is just gone, soon after.
   */
  put(id: Uint8Array, sizeBytes: number, events: UploadEvents): "stored" | "started" {
    if (sizeBytes > MAX_BLOB_BYTES) {
      throw new Refusal(FailureCode.tooLarge, `a blob has at most ${String(MAX_BLOB_BYTES)} bytes`);
    }
    const hexId = toHex(id);
    const running = this.#uploads.get(hexId);
    if (running?.isReleased) {
      const waiting = this.#waiting.get(hexId) ?? [];
      this.#waiting.set(hexId, waiting);
      waiting.push(() => {
        attempt(
          () => {
            if (this.put(id, sizeBytes, events) === "stored") events.onStored(true);
          },
          (error) => {
            events.onFailed(refusalOf(error));
          },
        );
      });
      return "started";
    }
    if (running) throw new Refusal(FailureCode.blobBusy, "another client is uploading this blob");
    const slot = this.#parts.table.find(hexId);
    if (slot?.state === "removing")
      throw new Refusal(FailureCode.blobBusy, "this blob is being removed; try again");
    if (this.#readers.has(hexId)) return "stored";
    if (!slot && this.has(id)) return "stored";
    requireWritable(this.#parts);
    const upload = new Upload({
      parts: this.#parts,
      id: id.slice(),
      hexId,
      sizeBytes,
      events,
      owner: this,
    });
    this.#uploads.set(hexId, upload);
    events.onBegun(upload);
    return "started";
  }

  /** Of an upload: its file is closed and its slot says what it is. */
  uploadEnded(hexId: string): void {
    this.#uploads.delete(hexId);
    const waiting = this.#waiting.get(hexId);
    if (!waiting) return;
    this.#waiting.delete(hexId);
    for (const retry of waiting) this.#parts.timers.set(0, retry);
  }

  /** Opens a stored blob. Throws Refusal "notFound", "blobBusy" or StorageError. */
  open(id: Uint8Array): BlobReader {
    const hexId = toHex(id);
    if (this.#parts.table.find(hexId)?.state === "removing") {
      throw new Refusal(FailureCode.blobBusy, "this blob is being removed");
    }
    if (this.#parts.table.find(hexId))
      throw new Refusal(FailureCode.notFound, "this blob is not stored whole yet");
    const file = this.#parts.storage.openFile(blobPath(hexId), "read");
    const state = readBlobState(file, id);
    if (state.kind !== "stored") {
      file.close();
      throw new Refusal(FailureCode.corrupt, "this blob's header does not read as it was written");
    }
    return new BlobReader(file, state.sizeBytes, hexId, this.#readers);
  }

  /** Returns what ends the work early; `done` comes all the same. */
  /** A page of at most `limit` blobs above `after`. */
  list(after: Uint8Array, limit: number, done: (error: unknown, page?: BlobPage) => void): BlobLister {
    return new BlobLister(this.#parts, { after, limit, store: this, done });
  }

  /** Deletes a blob or a partial upload; `done` with whether there was one, when that is durable. */
  delete(id: Uint8Array, done: (error: unknown, wasThere?: boolean) => void): void {
    this.#removals.run((next) => {
      const finish = (error: unknown, wasThere?: boolean): void => {
        next();
        done(error, wasThere);
      };
      attempt(() => {
        this.deleteNow(id, finish);
      }, finish);
    });
  }

  private deleteNow(id: Uint8Array, done: (error: unknown, wasThere?: boolean) => void): void {
    const { table, storage, timers } = this.#parts;
    const hexId = toHex(id);
    const slot = table.find(hexId);
    if (this.#isClosed) throw new Refusal(FailureCode.noCard, "the card is gone");
    requireWritable(this.#parts);
    if (this.#uploads.has(hexId) || this.#readers.has(hexId) || slot?.state === "removing") {
      throw new Refusal(FailureCode.blobBusy, "another client is uploading, reading or deleting this blob");
    }
    if (slot) {
      slot.state = "removing";
      removeBlob(this.#parts, hexId, (error) => {
        if (error) slot.state = "idle";
        else table.release(slot);
        done(error, true);
      });
      return;
    }
    try {
      storage.openFile(blobPath(hexId), "read").close();
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== "notFound") throw error;
      timers.set(0, () => {
        done(undefined, false);
      });
      return;
    }
    this.deleteStored(id, done);
  }

  private deleteStored(id: Uint8Array, done: (error: unknown, wasThere?: boolean) => void): void {
    const { table } = this.#parts;
    const slot = table.removalSlot;
    if (slot.state === "idle") {
      // An earlier removal failed half-way: it comes first, because this slot is what the next boot finds it by.
      removeBlob(this.#parts, slot.hexId, (error) => {
        if (error) done(error);
        else {
          table.release(slot);
          attempt(() => {
            this.deleteStored(id, done);
          }, done);
        }
      });
      return;
    }
    if (slot.state !== "free")
      throw new Refusal(FailureCode.blobBusy, "another removal is under way; try again");
    const failed = (error: unknown): void => {
      slot.state = "free";
      attempt(
        () => {
          if (!this.has(id)) slot.state = "idle";
        },
        () => {
          slot.state = "idle";
        },
      );
      done(error);
    };
    attempt(() => {
      table.claim(slot, "removing", id, 0, (error) => {
        if (error) failed(error);
        else {
          removeBlob(this.#parts, slot.hexId, (failure) => {
            if (failure) failed(failure);
            else {
              table.release(slot);
              done(undefined, true);
            }
          });
        }
      });
    }, failed);
  }

  /** The card is gone or the device stops: uploads end where they are. */
  close(): void {
    this.#isClosed = true;
    for (const upload of this.#uploads.values()) upload.release();
  }
}
