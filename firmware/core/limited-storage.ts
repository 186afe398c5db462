// SPDX-License-Identifier: MIT
/**
 * Part of a medium: the storage port over another, with a limit for what its files hold together. For hosts, where Coffer's
 * folder shares a disk with everything else, and for a simulated card of a known size. What counts is the files' lengths, not
 * clusters or folders.
 *
 * The files are measured once, when room is first asked for, one stat each; from then on only changes are counted.
 */
import { type DirectoryScan, type Storage, StorageError, type StorageFile } from "./io";

export interface LimitedStorageOptions {
  storage: Storage;
  /** For all files together, more than 0. */
  capacityBytes: number;
}

export class LimitedStorage implements Storage {
  readonly #storage: Storage;
  readonly #capacityBytes: number;
  /** Undefined until it is measured. */
  #usedBytes: number | undefined;

  constructor({ storage, capacityBytes }: LimitedStorageOptions) {
    if (!(capacityBytes > 0))
      throw new RangeError(`capacityBytes: expected more than 0, got ${capacityBytes}`);
    this.#storage = storage;
    this.#capacityBytes = capacityBytes;
  }

  openFile(path: string, mode: "create" | "read" | "update"): StorageFile {
    const file = this.#storage.openFile(path, mode);
    return mode === "read" ? file : new LimitedFile(file, this);
  }

  createDirectory(path: string): void {
    this.#storage.createDirectory(path);
  }

  remove(path: string): void {
    const bytes = this.#usedBytes === undefined ? 0 : this.#sizeOf(path);
    this.#storage.remove(path);
    if (this.#usedBytes !== undefined) this.#usedBytes -= bytes;
  }

  scan(path: string): DirectoryScan {
    return this.#storage.scan(path);
  }

  space(): { capacityBytes: number; freeBytes: number } {
    const { capacityBytes, freeBytes } = this.#storage.space();
    const limitBytes = Math.min(capacityBytes, this.#capacityBytes);
    return {
      capacityBytes: limitBytes,
      freeBytes: Math.max(0, Math.min(freeBytes, limitBytes - this.#used())),
    };
  }

  /** For its files: `file` as long as `sizeBytes`, if there is room. */
  allocate(file: StorageFile, sizeBytes: number): void {
    const growth = sizeBytes - file.sizeBytes;
    const usedBytes = this.#used();
    if (growth > this.#capacityBytes - usedBytes)
      throw new StorageError("full", "no room is left of what may be used");
    file.allocate(sizeBytes);
    if (growth > 0) this.#usedBytes = usedBytes + growth;
  }

  #used(): number {
    return (this.#usedBytes ??= this.#measure(""));
  }

  #measure(folder: string): number {
    let bytes = 0;
    const scan = this.#storage.scan(folder);
    try {
      for (let entry = scan.next(); entry !== undefined; entry = scan.next()) {
        const { name, isDirectory, sizeBytes } = entry;
        bytes += isDirectory ? this.#measure(folder === "" ? name : `${folder}/${name}`) : sizeBytes;
      }
    } finally {
      scan.close();
    }
    return bytes;
  }

  /** Of a file. Whatever cannot be opened as one, a folder first of all, counts nothing. */
  #sizeOf(path: string): number {
    try {
      if (this.#isFolder(path)) return 0;
      const file = this.#storage.openFile(path, "read");
      const { sizeBytes } = file;
      file.close();
      return sizeBytes;
    } catch {
      return 0;
    }
  }

  #isFolder(path: string): boolean {
    try {
      this.#storage.scan(path).close();
      return true;
    } catch {
      return false;
    }
  }
}

class LimitedFile implements StorageFile {
  readonly #file: StorageFile;
  readonly #owner: LimitedStorage;

  constructor(file: StorageFile, owner: LimitedStorage) {
    this.#file = file;
    this.#owner = owner;
  }

  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }

  allocate(sizeBytes: number): void {
    this.#owner.allocate(this.#file, sizeBytes);
  }

  read(into: Uint8Array, positionBytes: number): number {
    return this.#file.read(into, positionBytes);
  }

  write(bytes: Uint8Array, positionBytes: number): void {
    this.#file.write(bytes, positionBytes);
  }

  flush(done: (error?: StorageError) => void): void {
    this.#file.flush(done);
  }

  close(): void {
    this.#file.close();
  }
}
