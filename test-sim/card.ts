// SPDX-License-Identifier: MIT
/**
 * A simulated SD card: the storage port over a model of FAT behind a write-back cache. What a completed flush made
 * durable stays; everything else may be lost, kept or torn when the power goes, each part independently and as the
 * seed says (see README.md). It counts its writes, so that a test can cut at every one of them, in process and fast;
 * the XS board uses the same card, and with a folder of the host it outlives the process.
 */
import { type DirectoryScan, type Storage, StorageError, type StorageFile } from "../firmware/core/io";
import { CardFile } from "./card-file";
import { type CardGate, CardHandle } from "./card-handle";
import { type CardOperation, WRITE_OPERATIONS } from "./card-operation";
import { type CardStore, FolderStore, MemoryStore } from "./card-store";
import { CardDirectory, type CardEntry, type CardNode, CardTree } from "./card-tree";
import { PowerCut } from "./power-cut";
import { SeededRandom } from "./seeded-random";
import { StaleClusters } from "./stale-clusters";

export interface SimCardOptions {
  seed?: number;
  /** A folder of the host to keep the card in; else it lives in memory. */
  folder?: string;
  capacityBytes?: number;
  clusterBytes?: number;
  /** How a flush ends later: the default is the next turn of Node's event loop. */
  defer?: (callback: () => void) => void;
}

/** Where a file's name is. */
interface Place {
  directory: CardDirectory;
  name: string;
}

/** Of the contract in io.ts: 1..80 characters of [a-z0-9.-], at most 3 deep, no "." or "..". */
const PATH = /^(?!\.\.?(\/|$))[a-z0-9.-]{1,80}(\/(?!\.\.?(\/|$))[a-z0-9.-]{1,80}){0,2}$/;
const MAX_HISTORY = 64; // operations kept for the message of a failing test

export class SimCard implements Storage {
  /** Every operation, reads included, and those that change the card. */
  operations = 0;
  writes = 0;
  /** Called when the power goes, before PowerCut is thrown. */
  onPowerCut: (() => void) | undefined;
  readonly #options: Required<Omit<SimCardOptions, "folder">>;
  readonly #tree: CardTree;
  readonly #random: SeededRandom;
  readonly #history: string[] = [];
  #isPowered = true;
  #isInserted = true;
  #writeFailure: "io" | "readOnly" | undefined;
  /** Handles belong to one: until the power or the card goes. */
  #session = 0;
  #bootCount = 0;
  #usedClusters: number;
  #lostClusters = 0;
  #cutAtWrite = Infinity;
  #failures = new Map<number, "io" | "readOnly" | "full" | "unformatted">();

  constructor(options: SimCardOptions = {}) {
    const { seed = 1, capacityBytes = 4 * 2 ** 30, clusterBytes = 32 * 1024, defer = setImmediate } = options;
    this.#options = { seed, capacityBytes, clusterBytes, defer };
    const store: CardStore =
      options.folder === undefined ? new MemoryStore() : new FolderStore(options.folder);
    this.#random = new SeededRandom(seed);
    this.#tree = new CardTree(store, new StaleClusters(seed));
    this.#usedClusters = this.#countClusters(this.#tree.root);
  }

  /** A new card in memory with what is durable on this one: where a crash test starts each of its runs. */
  copy(options: SimCardOptions = {}): SimCard {
    const copy = new SimCard({ ...this.#options, ...options });
    this.#tree.copyDurable(copy.#tree);
    copy.#usedClusters = copy.#countClusters(copy.#tree.root);
    return copy;
  }

  // -------------------------------------------------------------- what a test does to it

  /** The power goes during the n-th write from now on (1: the next). */
  cutAtWrite(n: number): void {
    this.#cutAtWrite = this.writes + n;
  }

  /** The n-th operation from now on fails, and changes nothing. */
  failAtOperation(n: number, code: "io" | "readOnly" | "full" | "unformatted" = "io"): void {
    this.#failures.set(this.operations + n, code);
  }

  set isReadOnly(value: boolean) {
    this.#writeFailure = value ? "readOnly" : undefined;
  }

  /** As at the end of its life: every write fails, reads go on. */
  set isWorn(value: boolean) {
    this.#writeFailure = value ? "io" : undefined;
  }

  get isPowered(): boolean {
    return this.#isPowered;
  }

  /** Decides what the medium holds, and lets every handle fail until `powerOn`. */
  cutPower(): void {
    if (!this.#isPowered) return;
    this.#isPowered = false;
    this.#bootCount++;
    this.#settle();
    this.onPowerCut?.();
  }

  powerOn(): void {
    this.#isPowered = true;
    this.#cutAtWrite = Infinity;
  }

  /** Pulls the card out of its slot: for what was not durable the same as a power cut. */
  eject(): void {
    if (this.#isInserted && this.#isPowered) this.#settle();
    this.#isInserted = false;
  }

  insert(): void {
    this.#isInserted = true;
  }

  /** Flips bits of a stored file. */
  corrupt(path: string, position: number, mask = 1): void {
    const node = this.#tree.find(path)?.entry?.live;
    if (!(node instanceof CardFile) || position >= node.sizeBytes)
      throw new RangeError(`corrupt: no byte ${String(position)} in ${path}`);
    node.corrupt(position, mask);
  }

  /** The last operations, newest last: for the message of a failing test. */
  get history(): string {
    return this.#history.join("\n");
  }

  // -------------------------------------------------------------- the storage port

  openFile(path: string, mode: "create" | "read" | "update"): StorageFile {
    return this.#operate(mode === "create" ? "create" : "open", path, () => {
      const found = this.#find(path);
      const node = found.entry?.live;
      if (mode === "create") {
        if (node !== undefined) throw new StorageError("exists", `${path} exists`);
        const file = this.#tree.newFile();
        this.#tree.create(found.directory, found.name, file);
        return this.#handle(file, path, found, mode);
      }
      if (node === undefined) throw new StorageError("notFound", `${path} is not there`);
      if (!(node instanceof CardFile)) throw new StorageError("io", `${path} is a folder`);
      return this.#handle(node, path, found, mode);
    });
  }

  createDirectory(path: string): void {
    this.#operate("mkdir", path, (isCut) => {
      const found = this.#find(path);
      if (found.entry?.live !== undefined) throw new StorageError("exists", `${path} exists`);
      this.#take(1);
      const directory = new CardDirectory();
      this.#tree.create(found.directory, found.name, directory);
      if (!isCut) this.#tree.makeDurable(found.directory, found.name, directory, path);
    });
  }

  remove(path: string): void {
    this.#operate("remove", path, () => {
      const found = this.#find(path);
      const node = found.entry?.live;
      if (node === undefined) throw new StorageError("notFound", `${path} is not there`);
      if (node instanceof CardDirectory && !node.isEmpty)
        throw new StorageError("io", `${path} is not empty`);
      if (node instanceof CardFile && node.openCount > 0) throw new StorageError("io", `${path} is open`);
      this.#usedClusters -= this.#countClusters(node);
      this.#tree.remove(found.directory, found.name, path);
    });
  }

  scan(path: string): DirectoryScan {
    return this.#operate("scan", path, () => {
      const node = path === "" ? this.#tree.root : this.#find(path).entry?.live;
      if (node === undefined) throw new StorageError("notFound", `${path} is not there`);
      if (!(node instanceof CardDirectory)) throw new StorageError("io", `${path} is a file`);
      const entries = [...node.live()].map(([name, child]) => ({
        name,
        isDirectory: child instanceof CardDirectory,
        sizeBytes: child instanceof CardFile ? child.sizeBytes : 0,
      }));
      let next = 0;
      const session = this.#session;
      return {
        next: () => {
          this.#check(session);
          return entries[next++];
        },
        close: () => {
          next = entries.length;
        },
      };
    });
  }

  space(): { capacityBytes: number; freeBytes: number } {
    return this.#operate("space", "", () => ({
      capacityBytes: this.#options.capacityBytes,
      freeBytes: this.#freeClusters() * this.#options.clusterBytes,
    }));
  }

  // -------------------------------------------------------------- inside

  #handle(file: CardFile, path: string, at: Place, mode: "create" | "read" | "update"): StorageFile {
    const session = this.#session;
    const bootCount = this.#bootCount;
    const { clusterBytes, defer } = this.#options;
    const gate: CardGate = {
      operate: (operation, detail, effect) => this.#operate(operation, detail, effect),
      require: () => {
        this.#check(session);
      },
      isAlive: () => this.#isPowered && bootCount === this.#bootCount,
      take: (before, after) => {
        this.#take(Math.ceil(after / clusterBytes) - Math.ceil(before / clusterBytes));
      },
      commit: (stamp, removals) => {
        this.#commit(file, stamp, path, at);
        this.#tree.confirmRemovals(removals);
      },
      removalCount: () => this.#tree.removalCount,
      defer,
    };
    return new CardHandle(gate, file, path, mode === "read");
  }

  #commit(file: CardFile, stamp: number, path: string, at: Place): void {
    const entry: CardEntry | undefined = at.directory.entries.get(at.name);
    if (entry?.live !== file) return; // removed meanwhile
    file.commit(stamp, () => this.#tree.place(path, entry));
    this.#tree.makeDurable(at.directory, at.name, file, path);
  }

  /**
   * Counts, and lets happen what was arranged. A cut during a write lets its effect begin: it is then among what may be
   * lost, kept or torn.
   */
  #operate<T>(operation: CardOperation, detail: string, effect: (isCut: boolean) => T): T {
    this.#check(this.#session);
    const isWrite = WRITE_OPERATIONS.has(operation);
    this.operations++;
    if (isWrite) this.writes++;
    this.#history.push(`${String(this.operations)} ${operation} ${detail}`);
    if (this.#history.length > MAX_HISTORY) this.#history.shift();
    const failure = this.#failures.get(this.operations) ?? (isWrite ? this.#writeFailure : undefined);
    if (failure !== undefined) throw new StorageError(failure, `${operation} ${detail}: refused by the card`);
    if (!isWrite || this.writes !== this.#cutAtWrite) return effect(false);
    try {
      effect(true);
    } catch {
      // What the card refuses it does not begin.
    }
    this.cutPower();
    throw new PowerCut(`during ${operation} ${detail}`);
  }

  #check(session: number): void {
    if (!this.#isPowered) throw new PowerCut("the power is off");
    if (!this.#isInserted) throw new StorageError("noCard", "there is no card");
    if (session !== this.#session)
      throw new StorageError("io", "the file was open when the card or the power went");
  }

  #find(path: string): NonNullable<ReturnType<CardTree["find"]>> {
    const found = this.#tree.find(path);
    // A name that a cut has left (an alias) cannot be made, but has to be removed.
    if (!PATH.test(path) && found?.entry?.live === undefined)
      throw new TypeError(`not a path on a card: ${path}`);
    if (found === undefined) throw new StorageError("notFound", `the folder of ${path} is not there`);
    return found;
  }

  #settle(): void {
    this.#session++;
    // Clusters taken by something that is not there any more are free only after a check of the file system.
    if (this.#random.oneIn(4)) this.#lostClusters++;
    this.#tree.settle(this.#random, this.#options.clusterBytes);
    this.#usedClusters = this.#countClusters(this.#tree.root);
  }

  #take(clusters: number): void {
    if (clusters > this.#freeClusters()) throw new StorageError("full", "the card is full");
    this.#usedClusters += clusters;
  }

  #freeClusters(): number {
    const { capacityBytes, clusterBytes } = this.#options;
    return Math.max(0, Math.floor(capacityBytes / clusterBytes) - this.#usedClusters - this.#lostClusters);
  }

  #countClusters(node: CardNode): number {
    if (node instanceof CardFile) return Math.ceil(node.sizeBytes / this.#options.clusterBytes);
    let clusters = 1; // a folder's own entries
    for (const [, child] of node.live()) clusters += this.#countClusters(child);
    return clusters;
  }
}
