// SPDX-License-Identifier: MIT
/**
 * Where a simulated card keeps what is durable: in memory, or as plain files in a folder of the host. Nothing here
 * decides what becomes durable; `card-file.ts` and `card.ts` do.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

/** The bytes of one file. */
export interface CardContent {
  readonly sizeBytes: number;
  /** Fills `into` from `position`; what lies beyond the end stays as it is. */
  read(into: Uint8Array, position: number): void;
  /** Grows as needed. */
  write(bytes: Uint8Array, position: number): void;
  /** New bytes: zeros. */
  resize(sizeBytes: number): void;
  /** Nobody has the file open: gives back what an open file costs. */
  rest(): void;
  /** The name is wanted for another file; the bytes stay. */
  detach(): void;
  /** Back under a name. */
  attach(path: string): void;
  delete(): void;
}

export interface CardStore {
  /** What is there when the card is put in. Folders come before what is in them. */
  list(): { path: string; isDirectory: boolean }[];
  /** The file of that path, made if need be. Its folder exists. */
  content(path: string): CardContent;
  makeDirectory(path: string): void;
  removeDirectory(path: string): void;
}

export class MemoryContent implements CardContent {
  #bytes = new Uint8Array(0);
  #size = 0;

  get sizeBytes(): number {
    return this.#size;
  }

  read(into: Uint8Array, position: number): void {
    if (position < this.#size)
      into.set(this.#bytes.subarray(position, Math.min(this.#size, position + into.length)));
  }

  write(bytes: Uint8Array, position: number): void {
    if (position + bytes.length > this.#size) this.resize(position + bytes.length);
    this.#bytes.set(bytes, position);
  }

  resize(sizeBytes: number): void {
    if (sizeBytes > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(sizeBytes, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = grown;
    } else if (sizeBytes < this.#size) {
      this.#bytes.fill(0, sizeBytes, this.#size);
    }
    this.#size = sizeBytes;
  }

  // Memory costs the same open or closed, named or not.
  rest(): void {}
  detach(): void {}
  attach(): void {}

  delete(): void {
    this.#bytes = new Uint8Array(0);
    this.#size = 0;
  }
}

/** Holds nothing itself: the card's tree has the contents. */
export class MemoryStore implements CardStore {
  list(): { path: string; isDirectory: boolean }[] {
    return [];
  }
  content(): CardContent {
    return new MemoryContent();
  }
  makeDirectory(): void {}
  removeDirectory(): void {}
}

/** Files whose names the card has given away wait under this one, in case a power cut brings them back. */
const ASIDE = ".removed-";

class FolderContent implements CardContent {
  static #asideCount = 0;
  readonly #folder: string;
  #path: string;
  #fd: number | undefined;

  constructor(folder: string, path: string) {
    this.#folder = folder;
    this.#path = join(folder, path);
    this.#open();
  }

  get sizeBytes(): number {
    return fstatSync(this.#open()).size;
  }

  read(into: Uint8Array, position: number): void {
    readSync(this.#open(), into, 0, into.length, position);
  }

  write(bytes: Uint8Array, position: number): void {
    writeSync(this.#open(), bytes, 0, bytes.length, position);
  }

  resize(sizeBytes: number): void {
    ftruncateSync(this.#open(), sizeBytes);
  }

  rest(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  detach(): void {
    this.#move(join(this.#folder, `${ASIDE}${String(process.pid)}-${String(FolderContent.#asideCount++)}`));
  }

  attach(path: string): void {
    this.#move(join(this.#folder, path));
  }

  delete(): void {
    this.rest();
    rmSync(this.#path, { force: true });
  }

  #move(to: string): void {
    renameSync(this.#path, to);
    this.#path = to;
  }

  #open(): number {
    // "r+" would not create, "w+" would empty, "a+" would write at the end.
    this.#fd ??= openSync(this.#path, constants.O_RDWR | constants.O_CREAT);
    return this.#fd;
  }
}

/**
 * The card as a host folder. A killed process leaves what completed flushes made durable, which is what a power cut may
 * leave. The host's own files are not synced: the host is not what is being simulated.
 */
export class FolderStore implements CardStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(folder))
      if (name.startsWith(ASIDE)) rmSync(join(folder, name), { force: true });
  }

  list(): { path: string; isDirectory: boolean }[] {
    const found: { path: string; isDirectory: boolean }[] = [];
    const walk = (path: string) => {
      for (const entry of readdirSync(join(this.#folder, path), { withFileTypes: true })) {
        const child = path === "" ? entry.name : `${path}/${entry.name}`;
        if (entry.isDirectory()) {
          found.push({ path: child, isDirectory: true });
          walk(child);
        } else if (entry.isFile()) {
          found.push({ path: child, isDirectory: false });
        }
      }
    };
    walk("");
    return found;
  }

  content(path: string): CardContent {
    return new FolderContent(this.#folder, path);
  }

  makeDirectory(path: string): void {
    mkdirSync(join(this.#folder, path), { recursive: true });
  }

  removeDirectory(path: string): void {
    try {
      rmdirSync(join(this.#folder, path));
    } catch {
      // Something of the host's lies in it (an editor's file): the card does not see it, the folder may stay.
    }
  }
}
