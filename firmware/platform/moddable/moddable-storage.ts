// SPDX-License-Identifier: MIT
/**
 * The storage port over POSIX files: an SD card's mount point on ESP32, a folder elsewhere. The folder itself is made
 * when what it lies in is there; without that there is no card.
 *
 * RAM: an open file is one native record; nothing is buffered here.
 */
import {
  type DirectoryScan,
  type Storage,
  StorageError,
  type StorageErrorCode,
  type StorageFile,
  type Timers,
} from "../../core/io";
import {
  FileMode,
  NativeFile,
  NativeScan,
  createDirectory,
  kindOf,
  remove,
  space,
  syncDirectory,
} from "./coffer-files";
import { LOWER_AND_DIGITS, isMadeOf } from "./plain-names";

const NAME_CHARACTERS = `${LOWER_AND_DIGITS}.-`;
const MAX_NAME = 80;
const MAX_DEPTH = 3;
const DIRECTORY = 2; // of kindOf

export class ModdableStorage implements Storage {
  readonly #root: string;
  readonly #timers: Timers;

  /** `root`: Coffer's own folder, without a slash at its end. */
  constructor(options: { root: string; timers: Timers }) {
    this.#root = options.root;
    this.#timers = options.timers;
  }

  openFile(path: string, mode: "create" | "read" | "update"): StorageFile {
    const full = this.#full(path);
    const file = new NativeFile();
    let result = file.open(full, FileMode[mode]);
    if (result < 0 && this.#isRootMissing(result)) result = file.open(full, FileMode[mode]);
    check(result, path);
    return new ModdableFile(file, path, this.#timers, mode === "create" ? folderOf(full) : undefined);
  }

  createDirectory(path: string): void {
    const full = this.#full(path);
    let result = createDirectory(full);
    if (result < 0 && this.#isRootMissing(result)) result = createDirectory(full);
    check(result, path);
    check(syncDirectory(folderOf(full)), path);
  }

  remove(path: string): void {
    const result = remove(this.#full(path));
    if (result < 0) this.#isRootMissing(result);
    check(result, path);
  }

  scan(path: string): DirectoryScan {
    const full = path === "" ? this.#root : this.#full(path);
    const scan = new NativeScan();
    let result = scan.open(full);
    if (result < 0 && this.#isRootMissing(result)) result = scan.open(full);
    check(result, path);
    let isOpen = true;
    return {
      next() {
        const name = scan.next();
        if (name === undefined) return undefined;
        if (typeof name === "number") throw storageError(name, path);
        const sizeBytes = scan.size(name);
        return { name, isDirectory: sizeBytes < 0, sizeBytes: Math.max(0, sizeBytes) };
      },
      close() {
        if (isOpen) scan.close();
        isOpen = false;
      },
    };
  }

  space(): { capacityBytes: number; freeBytes: number } {
    const both = new Float64Array(2);
    let result = space(this.#root, both.buffer);
    if (result < 0 && this.#isRootMissing(result)) result = space(this.#root, both.buffer);
    check(result, "");
    return { capacityBytes: both[0] ?? 0, freeBytes: both[1] ?? 0 };
  }

  #full(path: string): string {
    const names = path.split("/");
    const isName = (name: string): boolean => isMadeOf(name, NAME_CHARACTERS, MAX_NAME) && name !== "." && name !== "..";
    if (names.length > MAX_DEPTH || !names.every(isName)) {
      throw new RangeError(`path: expected names of [a-z0-9.-], at most 3 deep, got "${path}"`);
    }
    return `${this.#root}/${path}`;
  }

  /** After "not found": true when only the folder was missing and now is there; throws "noCard" when it cannot be. */
  #isRootMissing(result: number): boolean {
    if (codeOf(result) !== "notFound" || kindOf(this.#root) === DIRECTORY) return false;
    if (createDirectory(this.#root) < 0) throw new StorageError("noCard", "there is no card");
    check(syncDirectory(folderOf(this.#root)), "");
    return true;
  }
}

class ModdableFile implements StorageFile {
  readonly #file: NativeFile;
  readonly #path: string;
  readonly #timers: Timers;
  /** Of a file that was made here and not flushed yet: the folder whose new name is not durable. */
  #newIn: string | undefined;
  #sizeBytes: number;
  #isOpen = true;
  #isFlushing = false;

  constructor(file: NativeFile, path: string, timers: Timers, newIn: string | undefined) {
    this.#file = file;
    this.#path = path;
    this.#timers = timers;
    this.#newIn = newIn;
    this.#sizeBytes = check(file.size(), path);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  allocate(sizeBytes: number): void {
    check(this.#opened().allocate(sizeBytes), this.#path);
    this.#sizeBytes = sizeBytes;
  }

  read(into: Uint8Array, positionBytes: number): number {
    return check(this.#opened().read(into, positionBytes), this.#path);
  }

  write(bytes: Uint8Array, positionBytes: number): void {
    if (positionBytes + bytes.length > this.#sizeBytes) {
      throw new RangeError(`write: expected an end of at most ${this.#sizeBytes}, got ${positionBytes + bytes.length}`);
    }
    check(this.#opened().write(bytes, positionBytes), this.#path);
  }

  /** fsync blocks, here as on every host with one thread; only its outcome comes later. */
  flush(done: (error?: StorageError) => void): void {
    const file = this.#opened();
    if (this.#isFlushing) throw new Error("flush: one is under way");
    let result = file.flush();
    if (result >= 0 && this.#newIn !== undefined) result = syncDirectory(this.#newIn);
    if (result >= 0) this.#newIn = undefined;
    this.#isFlushing = true;
    this.#timers.set(0, () => {
      this.#isFlushing = false;
      if (!this.#isOpen) return;
      if (result < 0) done(storageError(result, this.#path));
      else done();
    });
  }

  close(): void {
    this.#isOpen = false;
    this.#file.close();
  }

  #opened(): NativeFile {
    if (!this.#isOpen) throw new Error(`${this.#path} is closed`);
    return this.#file;
  }
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

const CODES: readonly StorageErrorCode[] = ["io", "notFound", "exists", "full", "readOnly", "noCard", "io", "io"];

function codeOf(result: number): StorageErrorCode {
  return CODES[-result % 8] ?? "io";
}

function storageError(result: number, path: string): StorageError {
  const code = codeOf(result);
  return new StorageError(code, `${path === "" ? "card" : path}: ${code} (errno ${Math.floor(-result / 8)})`);
}

function check(result: number, path: string): number {
  if (result < 0) throw storageError(result, path);
  return result;
}
