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
  /** Folders with changes that are not durable yet; the next flush of any file makes them so. At most those there are. */
  readonly #changed = new Set<string>();

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
    if (mode === "create") this.#changed.add(folderOf(full));
    return new ModdableFile(file, path, this.#timers, () => this.#syncFolders());
  }

  createDirectory(path: string): void {
    const full = this.#full(path);
    let result = createDirectory(full);
    if (result < 0 && this.#isRootMissing(result)) result = createDirectory(full);
    check(result, path);
    this.#changed.add(folderOf(full));
  }

  /** Also of names that are not Coffer's, as `scan` gave them. */
  remove(path: string): void {
    const names = path.split("/");
    if (names.length > MAX_DEPTH || names.some((name) => name === "" || name === "." || name === "..")) {
      throw new RangeError(`path: expected names at most 3 deep, got "${path}"`);
    }
    const result = remove(`${this.#root}/${path}`);
    if (result < 0) this.#isRootMissing(result);
    check(result, path);
    this.#changed.add(folderOf(`${this.#root}/${path}`));
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
    const isName = (name: string): boolean =>
      isMadeOf(name, NAME_CHARACTERS, MAX_NAME) && name !== "." && name !== "..";
    if (names.length > MAX_DEPTH || !names.every(isName)) {
      throw new RangeError(`path: expected names of [a-z0-9.-], at most 3 deep, got "${path}"`);
    }
    return `${this.#root}/${path}`;
  }

  /** After "not found": true when only the folder was missing and now is there; throws "noCard" when it cannot be. */
  #isRootMissing(result: number): boolean {
    if (codeOf(result) !== "notFound" || kindOf(this.#root) === DIRECTORY) return false;
    if (createDirectory(this.#root) < 0) throw new StorageError("noCard", "there is no card");
    this.#changed.add(folderOf(this.#root));
    return true;
  }

  /** 0, or the first failure; what failed is tried again with the next flush. */
  #syncFolders(): number {
    for (const folder of this.#changed) {
      const result = syncDirectory(folder);
      if (result < 0 && codeOf(result) !== "notFound") return result;
      this.#changed.delete(folder);
    }
    return 0;
  }
}

class ModdableFile implements StorageFile {
  readonly #file: NativeFile;
  readonly #path: string;
  readonly #timers: Timers;
  readonly #syncFolders: () => number;
  #sizeBytes: number;
  #isOpen = true;
  #isFlushing = false;

  constructor(file: NativeFile, path: string, timers: Timers, syncFolders: () => number) {
    this.#file = file;
    this.#path = path;
    this.#timers = timers;
    this.#syncFolders = syncFolders;
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
      throw new RangeError(
        `write: expected an end of at most ${this.#sizeBytes}, got ${positionBytes + bytes.length}`,
      );
    }
    check(this.#opened().write(bytes, positionBytes), this.#path);
  }

  /** fsync blocks, here as on every host with one thread; only its outcome comes later. */
  flush(done: (error?: StorageError) => void): void {
    const file = this.#opened();
    if (this.#isFlushing) throw new Error("flush: one is under way");
    let result = file.flush();
    if (result >= 0) result = this.#syncFolders();
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

const CODES: readonly StorageErrorCode[] = [
  "io",
  "notFound",
  "exists",
  "full",
  "readOnly",
  "noCard",
  "io",
  "io",
];

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
