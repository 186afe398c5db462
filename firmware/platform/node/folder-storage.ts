// SPDX-License-Identifier: MIT
/**
 * The storage port over a folder of a file system with journal. Writes go to the operating system's cache; a flush is an fdatasync in the background, followed by one of every folder whose names have changed.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsync,
  mkdirSync,
  openSync,
  opendirSync,
  rmdirSync,
  statSync,
  statfsSync,
  unlinkSync,
} from "node:fs";
import type { Dir } from "node:fs";
import { dirname, join } from "node:path";
import { StorageError } from "../../core/io";
import type { DirectoryScan, Storage, StorageFile } from "../../core/io";
import { FolderFile, storageError } from "./folder-file";
import { WriteBehind } from "./write-behind";

export class FolderStorage implements Storage {
  readonly #root: string;
  readonly #behind = new WriteBehind();
  /** Folders whose names have changed since they were last synced. */
  readonly #changed = new Set<string>();
  #waiting: ((error?: unknown) => void)[] = [];
  #isSyncing = false;

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
        behind: this.#behind,
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
      this.#changed.add(dirname(full));
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

  /** `done` when every name that has changed before this call is durable. Flushes that come meanwhile share one round. */
  #syncNames(done: (error?: unknown) => void): void {
    this.#waiting.push(done);
    if (!this.#isSyncing) this.#syncRound();
  }

  #syncRound(): void {
    const waiting = this.#waiting;
    const folders = [...this.#changed];
    this.#waiting = [];
    this.#changed.clear();
    this.#isSyncing = true;
    const end = (error?: unknown): void => {
      if (error) for (const folder of folders) this.#changed.add(folder);
      for (const done of waiting) done(error);
      this.#isSyncing = false;
      if (this.#waiting.length > 0) this.#syncRound();
    };
    const next = (at: number): void => {
      const folder = folders[at];
      if (folder === undefined) {
        end();
        return;
      }
      let fd: number;
      try {
        fd = openSync(folder, "r");
      } catch {
        // Removed since: the folder it was in is in the list.
        next(at + 1);
        return;
      }
      fsync(fd, (error) => {
        closeSync(fd);
        if (error) end(error);
        else next(at + 1);
      });
    };
    next(0);
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
