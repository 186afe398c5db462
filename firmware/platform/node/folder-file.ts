// SPDX-License-Identifier: MIT
/**
 * An open file of a folder storage. Large writes are handed to a thread; that one of them failed is thrown by the next
 * call, and told by the flush, without which nothing counts as stored. Reading forward in small pieces is served from one read-ahead buffer
 * (READ_AHEAD_BYTES), so that a download does not cost a system call a frame.
 */
import { closeSync, fdatasync, ftruncateSync, readSync, writeSync } from "node:fs";
import { StorageError } from "../../core/io";
import type { StorageErrorCode, StorageFile } from "../../core/io";
import type { WriteBehind, WriteOwner } from "./write-behind";
import { SLOT_BYTES } from "./write-behind-slots";

const READ_AHEAD_BYTES = 256 * 1024;
/** Requests from this size on go straight to the caller's buffer. */
const DIRECT_READ_BYTES = 64 * 1024;
/** Writes from this size on go to the thread. */
const BEHIND_BYTES = 32 * 1024;
/** Files that grow by no more than this get their blocks at once. */
const FILLED_BYTES = 64 * 1024;

const CODES: Record<string, StorageErrorCode> = {
  ENOENT: "notFound",
  ENOTDIR: "notFound",
  EEXIST: "exists",
  ENOSPC: "full",
  EDQUOT: "full",
  EFBIG: "full",
  EROFS: "readOnly",
  EACCES: "readOnly",
  EPERM: "readOnly",
};

let serials = 0;

export class FolderFile implements StorageFile {
  readonly #fd: number;
  readonly #behind: WriteBehind;
  readonly #owner: WriteOwner;
  readonly #freeBytes: () => number;
  readonly #syncNames: (done: (error?: unknown) => void) => void;
  #sizeBytes: number;
  #isClosed = false;
  #isFlushing = false;
  #ahead: Buffer | undefined;
  #aheadFrom = 0;
  #aheadTo = 0;
  #nextRead = -1;

  constructor(options: {
    fd: number;
    sizeBytes: number;
    behind: WriteBehind;
    freeBytes(): number;
    syncNames(done: (error?: unknown) => void): void;
  }) {
    this.#fd = options.fd;
    this.#behind = options.behind;
    this.#owner = { fd: options.fd, serial: ++serials, failure: undefined };
    this.#freeBytes = () => options.freeBytes();
    this.#sizeBytes = options.sizeBytes;
    this.#syncNames = (done) => {
      options.syncNames(done);
    };
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  allocate(sizeBytes: number): void {
    this.#try(() => {
      if (sizeBytes <= this.#sizeBytes) return;
      // There is no fallocate in Node: what is known not to fit is refused here, and a hole that turns out not to find
      // room is refused by the write that fills it.
      const growth = sizeBytes - this.#sizeBytes;
      if (growth > this.#freeBytes()) throw new StorageError("full", "not enough room");
      if (growth <= FILLED_BYTES) writeSync(this.#fd, new Uint8Array(growth), 0, growth, this.#sizeBytes);
      else ftruncateSync(this.#fd, sizeBytes);
      this.#sizeBytes = sizeBytes;
    });
  }

  read(into: Uint8Array, positionBytes: number): number {
    return this.#try(() => {
      this.#behind.drain(this.#owner);
      this.#throwFailure();
      const isForward = positionBytes === this.#nextRead;
      this.#nextRead = positionBytes + into.length;
      const isInside = positionBytes >= this.#aheadFrom && positionBytes + into.length <= this.#aheadTo;
      if (!isInside) {
        if (!isForward || into.length >= DIRECT_READ_BYTES) return this.#readFully(into, positionBytes);
        this.#ahead ??= Buffer.allocUnsafeSlow(READ_AHEAD_BYTES);
        this.#aheadFrom = positionBytes;
        this.#aheadTo = positionBytes + this.#readFully(this.#ahead, positionBytes);
      }
      const count = Math.max(0, Math.min(into.length, this.#aheadTo - positionBytes));
      if (this.#ahead)
        this.#ahead.copy(into, 0, positionBytes - this.#aheadFrom, positionBytes - this.#aheadFrom + count);
      return count;
    });
  }

  write(bytes: Uint8Array, positionBytes: number): void {
    if (positionBytes < 0 || positionBytes + bytes.length > this.#sizeBytes) {
      throw new RangeError("write: outside the allocated size");
    }
    this.#try(() => {
      this.#aheadTo = this.#aheadFrom;
      const isBehind =
        bytes.length <= SLOT_BYTES && (bytes.length >= BEHIND_BYTES || this.#behind.isBusy(this.#owner));
      if (!isBehind) this.#behind.drain(this.#owner);
      this.#throwFailure();
      if (isBehind) this.#behind.write(this.#owner, bytes, positionBytes);
      else
        for (let done = 0; done < bytes.length;) {
          done += writeSync(this.#fd, bytes, done, bytes.length - done, positionBytes + done);
        }
    });
  }

  flush(done: (error?: StorageError) => void): void {
    if (this.#isFlushing) throw new Error("flush: one at a time");
    this.#isFlushing = true;
    const ended = (error?: unknown): void => {
      this.#isFlushing = false;
      if (this.#isClosed) closeSync(this.#fd);
      else done(error ? storageError(error) : undefined);
    };
    const sync = (): void => {
      if (this.#owner.failure) {
        process.nextTick(ended, this.#owner.failure);
        return;
      }
      fdatasync(this.#fd, (error) => {
        if (error) ended(error);
        else this.#syncNames(ended);
      });
    };
    if (this.#behind.isBusy(this.#owner)) void this.#behind.drained(this.#owner).then(sync);
    else sync();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ahead = undefined;
    this.#behind.drain(this.#owner);
    if (!this.#isFlushing) closeSync(this.#fd);
  }

  #throwFailure(): void {
    if (this.#owner.failure) throw this.#owner.failure;
  }

  #readFully(into: Uint8Array, positionBytes: number): number {
    let count = 0;
    while (count < into.length) {
      const more = readSync(this.#fd, into, count, into.length - count, positionBytes + count);
      if (more === 0) break;
      count += more;
    }
    return count;
  }

  #try<T>(work: () => T): T {
    if (this.#isClosed) throw new StorageError("io", "the file is closed");
    try {
      return work();
    } catch (error) {
      throw storageError(error);
    }
  }
}

/** What a call of node:fs threw, as the port has it. */
export function storageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const { code = "", message } = error as NodeJS.ErrnoException;
  return new StorageError(CODES[code] ?? "io", message, { cause: error });
}
