// SPDX-License-Identifier: MIT
/**
 * The storage port over POSIX files: an SD card's mount point on ESP32, a folder elsewhere. The folder itself is made
 * when what it lies in is there; without that there is no card.
 *
 * A card may be pulled out at any time. A failure that it could be behind makes the medium be asked; when it is gone,
 * everything that was open on it is closed here, so that it can be let go of, and says "noCard" from then on. Not before
 * its owners have closed what they write to is a card attached again: whoever still believes in the old one hears
 * "noCard" until he has noticed (`Card.suspect` of the core closes all, and tries again after 10 s).
 *
 * RAM: an open file is one native record; coffer-files.c has one buffer for all.
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
  forgetCard,
  kindOf,
  remove,
  space,
  syncDirectory,
} from "./coffer-files";
import { LOWER_AND_DIGITS, isMadeOf } from "./plain-names";
import type { StorageMedium } from "./storage-medium";

const NAME_CHARACTERS = `${LOWER_AND_DIGITS}.-`;
const MAX_NAME = 80;
const MAX_DEPTH = 3;
const DIRECTORY = 2; // of kindOf

export interface ModdableStorageOptions {
  /** Coffer's own folder, without a slash at its end. */
  root: string;
  timers: Timers;
  /** What the folder is on, where that can go away. */
  medium?: StorageMedium;
}

export class ModdableStorage implements Storage {
  readonly #root: string;
  /** For its files, as are `judge`, `syncFolders` and `closed`: a file that is open costs no closure. */
  readonly timers: Timers;
  readonly #medium: StorageMedium | undefined;
  /** Folders with changes that are not durable yet; the next flush of any file makes them so. At most those there are. */
  readonly #changed = new Set<string>();
  /** With a medium only. Bound: the files that the core has open. */
  readonly #open = new Set<Handle>();
  #isAttached = false;

  constructor(options: ModdableStorageOptions) {
    this.#root = options.root;
    this.timers = options.timers;
    this.#medium = options.medium;
  }

  openFile(path: string, mode: "create" | "read" | "update"): StorageFile {
    const full = this.#full(path);
    const file = new NativeFile();
    this.#try(path, () => file.open(full, FileMode[mode]));
    if (mode === "create") this.#changed.add(folderOf(full));
    const made = new ModdableFile(file, path, mode !== "read", this);
    if (this.#medium) this.#open.add(made);
    return made;
  }

  createDirectory(path: string): void {
    const full = this.#full(path);
    this.#try(path, () => createDirectory(full));
    this.#changed.add(folderOf(full));
  }

  /** Also of names that are not Coffer's, as `scan` gave them. */
  remove(path: string): void {
    const names = path.split("/");
    if (names.length > MAX_DEPTH || names.some((name) => name === "" || name === "." || name === "..")) {
      throw new RangeError(`path: expected names at most 3 deep, got "${path}"`);
    }
    const full = `${this.#root}/${path}`;
    this.#try(path, () => remove(full), false);
    this.#changed.add(folderOf(full));
  }

  scan(path: string): DirectoryScan {
    const full = path === "" ? this.#root : this.#full(path);
    const scan = new NativeScan();
    this.#try(path, () => scan.open(full));
    const made = new ModdableScan(scan, path, this);
    if (this.#medium) this.#open.add(made);
    return made;
  }

  space(): { capacityBytes: number; freeBytes: number } {
    const both = new Float64Array(2);
    this.#try("", () => space(this.#root, both.buffer));
    return { capacityBytes: both[0] ?? 0, freeBytes: both[1] ?? 0 };
  }

  /** What `operation` gives: with the card attached, and a second time when only the folder had to be made. */
  #try(path: string, operation: () => number, again = true): number {
    this.#attach();
    let result = operation();
    if (result < 0 && this.#isRootMissing(result) && again) result = operation();
    return this.judge(result, path);
  }

  #attach(): void {
    if (!this.#medium || this.#isAttached) return;
    for (const handle of this.#open)
      if (handle.isWritable) throw new StorageError("noCard", "the card was taken out");
    this.#medium.attach();
    this.#isAttached = true;
    forgetCard();
  }

  /** Throws what a failure means; a card that is gone is let go of first. */
  judge(result: number, path: string): number {
    if (result >= 0) return result;
    const code = codeOf(result);
    if (this.#medium && (code === "io" || code === "noCard")) {
      this.#askMedium();
      if (!this.#isAttached) throw new StorageError("noCard", `${nameOf(path)}: the card was taken out`);
    }
    throw storageError(result, path);
  }

  /** Lets go of a medium that does not answer any more. What is open on it ends. */
  #askMedium(): void {
    if (!this.#medium || !this.#isAttached || this.#medium.isThere()) return;
    this.#isAttached = false;
    this.#changed.clear();
    for (const handle of this.#open) handle.lose();
    this.#medium.detach();
  }

  closed(handle: Handle): void {
    this.#open.delete(handle);
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
    const made = createDirectory(this.#root);
    // A card that is there and takes no folder is full, read-only or broken; no parent folder is no card.
    if (made < 0 && codeOf(made) !== "notFound") this.judge(made, "");
    if (made < 0) {
      this.#askMedium();
      throw new StorageError("noCard", "there is no card");
    }
    this.#changed.add(folderOf(this.#root));
    return true;
  }

  /** 0, or the first failure; what failed is tried again with the next flush. */
  syncFolders(): number {
    for (const folder of this.#changed) {
      const result = syncDirectory(folder);
      if (result < 0 && codeOf(result) !== "notFound") return result;
      this.#changed.delete(folder);
    }
    return 0;
  }
}

/** Open on a medium. */
interface Handle {
  readonly isWritable: boolean;
  /** The medium is gone: the system's file is closed, and every use from now on says so. */
  lose(): void;
}

class ModdableScan implements DirectoryScan, Handle {
  readonly isWritable = false;
  readonly #scan: NativeScan;
  readonly #path: string;
  readonly #owner: ModdableStorage;
  #isOpen = true;
  #isLost = false;

  constructor(scan: NativeScan, path: string, owner: ModdableStorage) {
    this.#scan = scan;
    this.#path = path;
    this.#owner = owner;
  }

  next(): { name: string; isDirectory: boolean; sizeBytes: number } | undefined {
    if (this.#isLost) throw new StorageError("noCard", "the card was taken out");
    const name = this.#scan.next();
    if (name === undefined) return undefined;
    if (typeof name === "number") {
      this.#owner.judge(name, this.#path);
      return undefined;
    }
    const sizeBytes = this.#scan.size(name);
    return { name, isDirectory: sizeBytes < 0, sizeBytes: Math.max(0, sizeBytes) };
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#scan.close();
    this.#owner.closed(this);
  }

  lose(): void {
    this.#isLost = true;
    this.#scan.close();
  }
}

class ModdableFile implements StorageFile, Handle {
  readonly isWritable: boolean;
  readonly #file: NativeFile;
  readonly #path: string;
  readonly #owner: ModdableStorage;
  #sizeBytes: number;
  #isOpen = true;
  #isLost = false;
  #isFlushing = false;

  constructor(file: NativeFile, path: string, isWritable: boolean, owner: ModdableStorage) {
    this.#file = file;
    this.#path = path;
    this.isWritable = isWritable;
    this.#owner = owner;
    this.#sizeBytes = owner.judge(file.size(), path);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  allocate(sizeBytes: number): void {
    this.#owner.judge(this.#opened().allocate(sizeBytes), this.#path);
    this.#sizeBytes = sizeBytes;
  }

  read(into: Uint8Array, positionBytes: number): number {
    return this.#owner.judge(this.#opened().read(into, positionBytes), this.#path);
  }

  write(bytes: Uint8Array, positionBytes: number): void {
    if (positionBytes + bytes.length > this.#sizeBytes) {
      throw new RangeError(
        `write: expected an end of at most ${this.#sizeBytes}, got ${positionBytes + bytes.length}`,
      );
    }
    this.#owner.judge(this.#opened().write(bytes, positionBytes), this.#path);
  }

  /** fsync blocks, here as on every host with one thread; only its outcome comes later. */
  flush(done: (error?: StorageError) => void): void {
    if (!this.#isOpen) throw new Error(`${this.#path} is closed`);
    if (this.#isFlushing) throw new Error("flush: one is under way");
    let failure: StorageError | undefined;
    try {
      this.#owner.judge(this.#opened().flush(), this.#path);
      this.#owner.judge(this.#owner.syncFolders(), this.#path);
    } catch (error) {
      failure = error as StorageError;
    }
    this.#isFlushing = true;
    this.#owner.timers.set(0, () => {
      this.#isFlushing = false;
      if (!this.#isOpen) return;
      if (failure) done(failure);
      else done();
    });
  }

  /** What is lost with it was never flushed, and nobody was told that it is there. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#file.close();
    this.#owner.closed(this);
  }

  lose(): void {
    this.#isLost = true;
    this.#file.close();
  }

  #opened(): NativeFile {
    if (!this.#isOpen) throw new Error(`${this.#path} is closed`);
    if (this.#isLost) throw new StorageError("noCard", `${this.#path}: the card was taken out`);
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

function nameOf(path: string): string {
  return path === "" ? "card" : path;
}

function storageError(result: number, path: string): StorageError {
  const code = codeOf(result);
  return new StorageError(code, `${nameOf(path)}: ${code} (errno ${Math.floor(-result / 8)})`);
}
