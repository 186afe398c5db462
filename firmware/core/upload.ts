// SPDX-License-Identifier: MIT
/**
 * One blob on its way to the card: opening -> hashing (a resumed prefix is read again) -> receiving -> finishing ->
 * ended, and from any of them, when its channel goes away, releasing -> ended. Only what an ended flush covered is
 * called durable; only a verified blob gets its commit sector. firmware/DESIGN.md "Storing a blob".
 *
 * RAM: one buffer of at most `writeBytes`, one open file.
 */
import { BLOB_DATA_OFFSET, SECTOR_BYTES } from "../protocol/card-format";
import { FailureCode } from "../protocol/verbs";
import { isEqual } from "../protocol/session";
import { attempt } from "./attempt";
import { writeCommit, writeProgress } from "./blob-header";
import { removeBlob } from "./blob-removal";
import type { Sha256 } from "./io";
import { Refusal, refusalOf } from "./refusal";
import { inSlices } from "./slices";
import type { StoreParts } from "./store-parts";
import { openUpload } from "./upload-opening";
import type { OpenedUpload } from "./upload-opening";

/** None but `onBegun` is called inside `put`, nor any after `release`, nor after `onStored` or `onFailed`. */
export interface UploadEvents {
  /** The upload, to write to and to release. */
  onBegun(upload: Upload): void;
  /** Bytes are wanted from `offsetBytes` of the blob to its end, which may be none. */
  onReady(offsetBytes: number): void;
  /** On the card, whole, verified, durable; `wasStored` when another channel's upload had done it. */
  onStored(wasStored: boolean): void;
  onFailed(refusal: Refusal): void;
  /** `isHeld` became false. */
  onRoom(): void;
}

export interface UploadOptions {
  parts: StoreParts;
  id: Uint8Array;
  hexId: string;
  sizeBytes: number;
  events: UploadEvents;
  owner: UploadOwner;
}

export interface UploadOwner {
  /** The blob's file is closed and its slot says what it is. */
  uploadEnded(hexId: string): void;
}

/** A slice of the prefix that is read again in one timer turn. */
const HASH_SLICE_BYTES = 64 * 1024;

export class Upload {
  readonly #options: UploadOptions;
  readonly #hash: Sha256;
  #state: "opening" | "hashing" | "receiving" | "finishing" | "ended" = "opening";
  #isReleased = false;
  #opened: OpenedUpload | undefined;
  #buffer = new Uint8Array(0);
  #filledBytes = 0;
  /** Bytes of the blob handed to the file. */
  #writtenBytes = 0;
  /** Of them, what the newest progress sector says. */
  #progressBytes = 0;
  #generation = 0;
  #isFlushing = false;
  #afterFlush: (() => void) | undefined;

  constructor(options: UploadOptions) {
    this.#options = options;
    this.#hash = options.parts.crypto.createSha256();
    options.parts.timers.set(0, () => {
      if (this.#isReleased) this.end();
      else {
        openUpload(options.parts, options, (error, opened) => {
          this.begin(error, opened);
        });
      }
    });
  }

  /** True once the channel has let go of it and only the release is under way. */
  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** While true the channel gets no new credit, so that what a power cut can cost stays bounded. */
  get isHeld(): boolean {
    return this.#isFlushing && this.#state === "receiving";
  }

  get isReceiving(): boolean {
    return this.#state === "receiving";
  }

  /** The next byte wanted. */
  get receivedBytes(): number {
    return this.#writtenBytes + this.#filledBytes;
  }

  /** Takes the bytes that follow the ones before. RangeError when they are more than the blob has. */
  write(bytes: Uint8Array): void {
    if (this.#state !== "receiving") return;
    const { sizeBytes } = this.#options;
    if (bytes.length > sizeBytes - this.receivedBytes)
      throw new RangeError("upload: more bytes than the blob has");
    try {
      let at = 0;
      while (at < bytes.length && this.isReceiving) {
        const count = Math.min(this.#buffer.length - this.#filledBytes, bytes.length - at);
        this.#buffer.set(
          at === 0 && count === bytes.length ? bytes : bytes.subarray(at, at + count),
          this.#filledBytes,
        );
        this.#filledBytes += count;
        at += count;
        if (this.#filledBytes === this.#buffer.length || this.receivedBytes === sizeBytes) this.drain();
      }
    } catch (error) {
      this.fail(error);
    }
  }

  /** The channel is gone: progress is kept, and the blob is free for another channel as soon as that is done. */
  release(): void {
    if (this.#isReleased || this.#state === "ended") return;
    this.#isReleased = true;
    if (this.#state === "receiving") {
      this.#afterFlush = () => {
        this.guard(() => {
          this.keepProgress();
        });
      };
      if (!this.#isFlushing) this.runAfterFlush();
    }
  }

  private begin(error: unknown, opened?: OpenedUpload): void {
    if (!opened) {
      this.end(error);
      return;
    }
    this.#opened = opened;
    this.#generation = opened.generation;
    this.#progressBytes = opened.durableBytes;
    const { sizeBytes, parts } = this.#options;
    this.#buffer = new Uint8Array(Math.max(SECTOR_BYTES, Math.min(parts.limits.writeBytes, sizeBytes)));
    this.#state = "hashing";
    inSlices(
      parts.timers,
      () => this.hashSlice(opened),
      (failure) => {
        if (failure) this.fail(failure);
        else if (this.#isReleased) this.end();
        else this.ready();
      },
    );
  }

  private hashSlice(opened: OpenedUpload): boolean {
    let budget = HASH_SLICE_BYTES;
    while (!this.#isReleased && budget > 0 && this.#writtenBytes < opened.durableBytes) {
      const count = Math.min(this.#buffer.length, opened.durableBytes - this.#writtenBytes, budget);
      const piece = this.#buffer.subarray(0, count);
      if (opened.file.read(piece, BLOB_DATA_OFFSET + this.#writtenBytes) !== count) {
        throw new Refusal(FailureCode.corrupt, "the partial upload cannot be read back");
      }
      this.#hash.write(piece);
      this.#writtenBytes += count;
      budget -= count;
    }
    return !this.#isReleased && this.#writtenBytes < opened.durableBytes;
  }

  private ready(): void {
    this.#state = "receiving";
    this.#options.events.onReady(this.#writtenBytes);
    if (this.#writtenBytes === this.#options.sizeBytes)
      this.guard(() => {
        this.finish();
      });
  }

  private drain(): void {
    if (!this.#opened) return;
    const isFull = this.#filledBytes === this.#buffer.length;
    const piece = isFull ? this.#buffer : this.#buffer.subarray(0, this.#filledBytes);
    this.#opened.file.write(piece, BLOB_DATA_OFFSET + this.#writtenBytes);
    this.#hash.write(piece);
    this.#writtenBytes += piece.length;
    this.#filledBytes = 0;
    if (this.#writtenBytes === this.#options.sizeBytes) this.finish();
    else if (this.#writtenBytes - this.#progressBytes >= this.syncEveryBytes) this.sync();
  }

  /**
   * A progress sector becomes durable with the flush after it, so that two intervals and what the window lets through
   * during the second are what a power cut can cost: with half of `syncBytes`, at most syncBytes + windowBytes.
   */
  private get syncEveryBytes(): number {
    const { syncBytes, flushProgress } = this.#options.parts.limits;
    return flushProgress ? syncBytes / 2 : syncBytes;
  }

  private sync(): void {
    if (this.#isFlushing || this.#isReleased) return;
    const covered = this.#writtenBytes;
    if (!this.#options.parts.limits.flushProgress) {
      this.writeProgress(covered);
      return;
    }
    this.flush(() => {
      this.writeProgress(covered);
      if (!this.#isReleased) this.#options.events.onRoom();
    });
  }

  private writeProgress(durableBytes: number): void {
    if (!this.#opened) return;
    this.#generation++;
    writeProgress(this.#opened.file, this.#opened.upload, this.#generation, durableBytes);
    this.#progressBytes = durableBytes;
  }

  private finish(): void {
    this.#state = "finishing";
    const { id, hexId, parts, sizeBytes } = this.#options;
    if (!isEqual(this.#hash.close(), id)) {
      this.#afterFlush = () => {
        this.discard(
          hexId,
          new Refusal(FailureCode.hashMismatch, "the bytes that arrived are not the ones named"),
        );
      };
      if (!this.#isFlushing) this.runAfterFlush();
      return;
    }
    this.#afterFlush = () => {
      this.flush(() => {
        if (this.#opened) writeCommit(this.#opened.file, { id, sizeBytes, upload: this.#opened.upload });
        this.flush(() => {
          if (this.#opened) parts.table.release(this.#opened.slot);
          this.end();
        });
      });
    };
    if (!this.#isFlushing) this.runAfterFlush();
  }

  private discard(hexId: string, refusal: Refusal): void {
    const { parts } = this.#options;
    const slot = this.#opened?.slot;
    this.#opened?.file.close();
    this.#opened = undefined;
    if (slot) slot.state = "removing";
    removeBlob(parts, hexId, (error) => {
      if (slot && error) slot.state = "idle";
      else if (slot) parts.table.release(slot);
      this.end(refusal);
    });
  }

  /** Whole sectors only: a resumed upload then never writes a sector again that holds durable bytes. */
  private keepProgress(): void {
    this.#filledBytes -= this.#filledBytes % SECTOR_BYTES;
    if (this.#filledBytes > 0) this.drain();
    const covered = this.#writtenBytes;
    const keep = (): void => {
      if (covered > this.#progressBytes) this.writeProgress(covered);
      this.end();
    };
    if (covered === this.#progressBytes || !this.#options.parts.limits.flushProgress) keep();
    else this.flush(keep);
  }

  /** One flush at a time: the next step waits in `#afterFlush`, of which there is never more than one. */
  private flush(next: () => void): void {
    this.#isFlushing = true;
    this.#opened?.file.flush((error) => {
      this.#isFlushing = false;
      if (this.#state === "ended") return;
      if (error) this.fail(error);
      else {
        this.guard(next);
        this.runAfterFlush();
      }
    });
  }

  private runAfterFlush(): void {
    if (this.#isFlushing) return;
    const next = this.#afterFlush;
    this.#afterFlush = undefined;
    if (next) this.guard(next);
  }

  private guard(step: () => void): void {
    attempt(step, (error) => {
      this.fail(error);
    });
  }

  /** The card failed under it: what was durable stays to be resumed. */
  private fail(error: unknown): void {
    this.end(refusalOf(error));
  }

  private end(error?: unknown): void {
    if (this.#state === "ended") return;
    const isStored = this.#state === "finishing" && !error;
    this.#state = "ended";
    if (this.#opened) {
      this.#opened.file.close();
      if (!isStored && this.#opened.slot.state === "active") this.#opened.slot.state = "idle";
    }
    this.#buffer = new Uint8Array(0);
    const { events } = this.#options;
    this.#options.owner.uploadEnded(this.#options.hexId);
    if (this.#isReleased) return;
    if (isStored) events.onStored(false);
    else events.onFailed(refusalOf(error));
  }
}
