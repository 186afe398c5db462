// SPDX-License-Identifier: MIT
/**
 * The storage port over a folder of a file system with journal. Writes are synchronous and go to the operating system's
 * cache; a flush is an fdatasync in the background, followed by one of every folder whose names have changed.
 *
 * Reading forward in small pieces is served from one read-ahead buffer a file (READ_AHEAD_BYTES), so that a download
 * does not cost a system call a frame.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  opendirSync,
  readSync,
  rmdirSync,
  statSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import type { Dir } from "node:fs";
import { dirname, join } from "node:path";
import { StorageError } from "../../core/io";
import type { DirectoryScan, Storage, StorageErrorCode, StorageFile } from "../../core/io";

const READ_AHEAD_BYTES = 256 * 1024;
/** Requests from this size on go straight to the caller's buffer. */
const DIRECT_READ_BYTES = 64 * 1024;
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

export class FolderStorage implements Storage {
  readonly #root: string;
  /** Folders whose names have changed since they were last synced. */
  readonly #changed = new Set<string>();

  /** `root` exists. */
  constructor(options: { root: string }) {
    this.#root = options.root;
  }

  openFile(path: string, mode: "create" | "read" | "update"): StorageFile {
    const full = join(this.#root, path);
    return this.#try(() => {
      const fd = openSync(full, mode === "create" ? "wx+" : mode === "read" ? "r" : "r+", 0o600);
      if (mode === "create") this.#changed.add(dirname(full));
      return new FolderFile({
        fd,
        sizeBytes: mode === "create" ? 0 : fstatSync(fd).size,
        freeBytes: () => this.space().freeBytes,
        syncNames: (done) => {
          this.#syncNames(done);
        },
      });
    });
  }

  createDirectory(path: string): void {
    const full = join(this.#root, path);
    this.#try(() => {
      mkdirSync(full, { mode: 0o700 });
      syncFolder(dirname(full));
    });
  }

  remove(path: string): void {
    const full = join(this.#root, path);
    this.#try(() => {
      if (statSync(full).isDirectory()) rmdirSync(full);
      else unlinkSync(full);
      this.#changed.add(dirname(full));
    });
  }

  scan(path: string): DirectoryScan {
    return this.#try(() => new FolderScan(join(this.#root, path)));
  }

  space(): { capacityBytes: number; freeBytes: number } {
    return this.#try(() => {
      const { bsize, blocks, bavail } = statfsSync(this.#root);
      return { capacityBytes: bsize * blocks, freeBytes: bsize * bavail };
    });
  }

  /** One folder after the other; new changes meanwhile belong to the next flush. */
  #syncNames(done: (error?: unknown) => void): void {
    const folders = [...this.#changed];
    this.#changed.clear();
    const next = (): void => {
      const folder = folders.pop();
      if (folder === undefined) {
        done();
        return;
      }
      let fd: number;
      try {
        fd = openSync(folder, "r");
      } catch {
        // Removed since: its own parent is in the list.
        next();
        return;
      }
      fsync(fd, (error) => {
        closeSync(fd);
        if (error) {
          this.#changed.add(folder);
          done(error);
        } else next();
      });
    };
    next();
  }

  #try<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const failure = storageError(error);
      if (failure.code !== "notFound" || existsSync(this.#root)) throw failure;
      throw new StorageError("noCard", `${this.#root} is not there`, { cause: error });
    }
  }
}

class FolderFile implements StorageFile {
  readonly #fd: number;
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
    freeBytes(): number;
    syncNames(done: (error?: unknown) => void): void;
  }) {
    this.#fd = options.fd;
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
    fdatasync(this.#fd, (error) => {
      if (error) ended(error);
      else this.#syncNames(ended);
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ahead = undefined;
    if (!this.#isFlushing) closeSync(this.#fd);
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

class FolderScan implements DirectoryScan {
  readonly #path: string;
  readonly #folder: Dir;
  #isClosed = false;

  constructor(path: string) {
    this.#path = path;
    this.#folder = opendirSync(path);
  }

  next(): { name: string; isDirectory: boolean; sizeBytes: number } | undefined {
    if (this.#isClosed) return undefined;
    const entry = this.#folder.readSync();
    if (!entry) return undefined;
    const isDirectory = entry.isDirectory();
    const path = join(this.#path, entry.name);
    return {
      name: entry.name,
      isDirectory,
      // Asked for only where somebody looks: a scan of names costs no stat.
      get sizeBytes() {
        return isDirectory ? 0 : (statSync(path, { throwIfNoEntry: false })?.size ?? 0);
      },
    };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#folder.closeSync();
  }
}

function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function storageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const { code = "", message } = error as NodeJS.ErrnoException;
  return new StorageError(CODES[code] ?? "io", message, { cause: error });
}
