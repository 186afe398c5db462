// SPDX-License-Identifier: MIT
/**
 * The `uploads` file: which blobs may be on the card without being acknowledged. A blob's id is durable in a slot
 * before its file is created and before it is removed, so that the next boot looks at it before any room is given out.
 *
 * Slots 0..MAX_UPLOADS-2 are for uploads; the last is for the removal of stored blobs, one at a time. One more sector
 * names the log segment that is being removed, for the same reason.
 * RAM: MAX_UPLOADS small objects. One file stays open.
 */
import { SECTOR_BYTES, logTrim, uploadSlot } from "../protocol/card-format";
import type { LogTrim } from "../protocol/card-format";
import { MAX_UPLOADS } from "../protocol/limits";
import { attempt } from "./attempt";
import { readSector, sectorOf } from "./card-sector";
import { toHex } from "./hex";
import { StorageError } from "./io";
import type { Storage, StorageFile } from "./io";

/** idle: a partial upload that can be resumed; active: being received; removing: its file is on its way out. */
export type SlotState = "free" | "idle" | "active" | "removing";

export interface Slot {
  readonly index: number;
  state: SlotState;
  /** "" while it is free. The id as bytes would cost a board seven slots of its heap. */
  hexId: string;
  generation: number;
}

export const UPLOADS_PATH = "uploads";
const TRIM_OFFSET = MAX_UPLOADS * SECTOR_BYTES;
export const UPLOADS_BYTES = TRIM_OFFSET + SECTOR_BYTES;

export class UploadTable {
  readonly #file: StorageFile;
  readonly isWritable: boolean;
  readonly #slots: Slot[] = [];
  readonly #removalSlot: Slot;
  #trim: LogTrim | undefined;
  /** Bound: one entry for each slot and each request. */
  #waiting: ((error?: StorageError) => void)[] = [];
  /** Those whose flush is under way. */
  #flushed: ((error?: StorageError) => void)[] = [];
  #isFlushing = false;
  #isClosed = false;
  #generation = 0;

  /** Reads the table. Every slot that names a blob starts as idle; `BlobRecovery` finds out what is true. */
  constructor(options: { storage: Storage; isWritable: boolean }) {
    this.isWritable = options.isWritable;
    this.#file = options.storage.openFile(UPLOADS_PATH, options.isWritable ? "update" : "read");
    for (let index = 0; index < MAX_UPLOADS; index++) {
      const slot: Slot = { index, state: "free", hexId: "", generation: 0 };
      this.#slots.push(slot);
      const found = readSector(this.#file, index * SECTOR_BYTES, uploadSlot);
      if (!found || this.find(toHex(found.id))) continue;
      slot.state = "idle";
      slot.hexId = toHex(found.id);
      slot.generation = found.generation;
      this.#generation = Math.max(this.#generation, found.generation);
    }
    this.#trim = readSector(this.#file, TRIM_OFFSET, logTrim);
    this.#removalSlot = this.#slots[MAX_UPLOADS - 1] as Slot;
  }

  get slots(): readonly Slot[] {
    return this.#slots;
  }

  find(hexId: string): Slot | undefined {
    return this.#slots.find((slot) => slot.state !== "free" && slot.hexId === hexId);
  }

  /** A free slot for an upload. */
  freeSlot(): Slot | undefined {
    return this.#slots.find((slot) => slot.index < MAX_UPLOADS - 1 && slot.state === "free");
  }

  get removalSlot(): Slot {
    return this.#removalSlot;
  }

  oldestIdle(): Slot | undefined {
    let oldest: Slot | undefined;
    for (const slot of this.#slots) {
      if (slot.state === "idle" && (!oldest || slot.generation < oldest.generation)) oldest = slot;
    }
    return oldest;
  }

  /** Writes the intent; `done` when it is durable. */
  claim(
    slot: Slot,
    state: SlotState,
    id: Uint8Array,
    sizeBytes: number,
    done: (error?: StorageError) => void,
  ): void {
    slot.state = state;
    slot.hexId = toHex(id);
    slot.generation = ++this.#generation;
    this.#file.write(
      sectorOf(uploadSlot, { id, sizeBytes, generation: slot.generation }),
      slot.index * SECTOR_BYTES,
    );
    this.sync(done);
  }

  /**
   * Frees a slot whose blob is stored, or whose removal is durable. The zeros need no flush, and it is no loss when they
   * cannot be written: a slot that comes back names a blob that the next boot finds stored, or does not find.
   */
  release(slot: Slot): void {
    slot.state = "free";
    slot.hexId = "";
    this.erase(slot.index * SECTOR_BYTES);
  }

  private erase(offsetBytes: number): void {
    if (!this.isWritable || this.#isClosed) return;
    attempt(
      () => {
        this.#file.write(new Uint8Array(SECTOR_BYTES), offsetBytes);
      },
      () => undefined,
    );
  }

  /** The log segment whose removal was begun and is not known to be durable. */
  get trim(): LogTrim | undefined {
    return this.#trim;
  }

  /** Writes the intent to remove a segment; `done` when it is durable. The one before has been released. */
  claimTrim(trim: LogTrim, done: (error?: StorageError) => void): void {
    this.#trim = trim;
    this.#file.write(sectorOf(logTrim, trim), TRIM_OFFSET);
    this.sync(done);
  }

  /** The removal is durable. As with `release`, the zeros need no flush: the next boot would find nothing to remove. */
  releaseTrim(): void {
    this.#trim = undefined;
    this.erase(TRIM_OFFSET);
  }

  /** Whether the card still takes a write: zeros over the slot of removals, if that is free, and a flush. */
  prove(done: (error?: unknown) => void): void {
    attempt(() => {
      if (this.#removalSlot.state === "free")
        this.#file.write(new Uint8Array(SECTOR_BYTES), this.#removalSlot.index * SECTOR_BYTES);
      this.sync(done);
    }, done);
  }

  /**
   * `done` when a flush that started after this call has ended: confirms slots, and removals of any file. Once the table
   * is closed there is only an error, which may come inside the call.
   */
  sync(done: (error?: StorageError) => void): void {
    if (this.#isClosed) {
      done(new StorageError("noCard", "the card is gone"));
      return;
    }
    this.#waiting.push(done);
    if (!this.#isFlushing) this.flush();
  }

  private flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#isFlushing = true;
    this.#flushed = waiting;
    this.#file.flush((error) => {
      this.#isFlushing = false;
      this.#flushed = [];
      if (this.#waiting.length > 0) this.flush();
      for (const done of waiting) done(error);
    });
  }

  private failWaiting(): void {
    const waiting = [...this.#flushed, ...this.#waiting];
    this.#flushed = [];
    this.#waiting = [];
    for (const done of waiting) done(new StorageError("noCard", "the card is gone"));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#file.close();
    this.failWaiting();
  }
}
