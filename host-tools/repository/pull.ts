// SPDX-License-Identifier: MIT
/**
 * Brings a remote file or folder to a local path. Walks the remote tree, gathers what is needed into windows of bounded
 * size, fetches one window while the one before is written. Files that are complete already are passed over, so that a
 * pull that was interrupted goes on. docs/repository.md "Pulling".
 */

import { chmodSync, lstatSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { DataError } from "../../firmware/protocol/data-error";
import { Refusal, fromFileError } from "../refusal";
import { type ByteString, toByteString, toBytes, toText } from "./byte-names";
import { type ChunkFetcher, type FetchedChunks, chunkKey } from "./chunk-fetcher";
import type { ChunkItem } from "./content";
import { FileWriter, removeLeftovers, setModeAndTime, writeSymlink } from "./file-writer";
import { type LocalStat, statLocal } from "./local-stat";
import { type NameFolding, indistinguishable, probeNameFolding } from "./name-folding";
import type { Problem, PullOptions } from "./repository-api";
import { EntryType, type TreeEntry } from "./tree";
import type { TreeStore } from "./tree-store";

/** With what exceeds it, it fits in one slab of the fetcher. */
const WINDOW_BYTES = 3 * 1024 * 1024;
/** Being fetched while one is written: several small windows keep the network busier than a large one. */
const WINDOWS_AHEAD = 4;
const WINDOW_CHUNKS = 1024;
const WINDOW_STEPS = 4096;
/** Written without letting the network, and what opens chunks, have their turn. */
const TURN_MS = 4;
/** Node sets times to the microsecond. */
const TIME_TOLERANCE_NANOS = 2000;

type Step =
  | {
      step: "pieces";
      path: ByteString;
      entry: TreeEntry;
      items: ChunkItem[];
      isFirst: boolean;
      isLast: boolean;
    }
  | { step: "broken"; path: ByteString; entry: TreeEntry; reason: Refusal }
  | { step: "symlink" | "enter" | "leave"; path: ByteString; entry: TreeEntry };

interface Window {
  steps: readonly Step[];
  chunks: Promise<FetchedChunks>;
}

export interface PullCounts {
  files: number;
  directories: number;
  symlinks: number;
  bytes: number;
  skippedFiles: number;
  problems: Problem[];
}

export class TreePuller {
  readonly result: PullCounts = {
    files: 0,
    directories: 0,
    symlinks: 0,
    bytes: 0,
    skippedFiles: 0,
    problems: [],
  };
  readonly #trees: TreeStore;
  readonly #fetcher: ChunkFetcher;
  readonly #overwrite: NonNullable<PullOptions["overwrite"]>;
  readonly #onEntry: (path: string) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #probe: typeof probeNameFolding;
  #folding: NameFolding | undefined;
  #root: ByteString = "";
  #writer: FileWriter | undefined;
  #turnAtMs = 0;
  /** Folders that could not be made. */
  readonly #missing = new Set<ByteString>();
  /** The file being written, when it cannot be completed. */
  #broken: ByteString | undefined;

  constructor(options: {
    trees: TreeStore;
    fetcher: ChunkFetcher;
    overwrite: NonNullable<PullOptions["overwrite"]>;
    onEntry: (path: string) => void;
    /** Injected by tests. */
    probe?: typeof probeNameFolding;
    signal?: AbortSignal | undefined;
  }) {
    this.#probe = options.probe ?? probeNameFolding;
    this.#trees = options.trees;
    this.#fetcher = options.fetcher;
    this.#overwrite = options.overwrite;
    this.#onEntry = options.onEntry;
    this.#signal = options.signal;
  }

  async pull(entry: TreeEntry, to: string): Promise<PullCounts> {
    this.#root = toByteString(resolve(to));
    try {
      mkdirSync(toBytes(toByteString(dirname(resolve(to)))), { recursive: true });
    } catch (error) {
      throw fromFileError(error, `cannot pull to ${to}`);
    }
    const ahead: Window[] = [];
    try {
      for await (const steps of this.#windows(entry)) {
        const ids = steps.flatMap((step) =>
          step.step === "pieces" ? step.items.flatMap(({ id }) => (id ? [id] : [])) : [],
        );
        const chunks = this.#fetcher.fetch(ids);
        chunks.catch(() => undefined);
        ahead.push({ steps, chunks });
        if (ahead.length > WINDOWS_AHEAD) await this.#runFirst(ahead);
      }
      while (ahead.length > 0) await this.#runFirst(ahead);
    } finally {
      this.#writer?.abandon();
      await Promise.allSettled(ahead.map(({ chunks }) => chunks));
    }
    return this.result;
  }

  async #runFirst(windows: Window[]): Promise<void> {
    const window = windows.shift();
    if (!window) return;
    const fetched = await window.chunks;
    await this.#run(window.steps, fetched);
    fetched.release();
  }

  async *#windows(root: TreeEntry): AsyncGenerator<Step[]> {
    let steps: Step[] = [];
    let bytes = 0;
    let chunks = 0;
    for await (const step of this.#plan(root, this.#root, "root")) {
      steps.push(step);
      if (step.step === "pieces") {
        chunks += step.items.length;
        for (const item of step.items) if (item.id) bytes += item.lengthBytes;
      }
      if (bytes < WINDOW_BYTES && chunks < WINDOW_CHUNKS && steps.length < WINDOW_STEPS) continue;
      this.#signal?.throwIfAborted();
      yield steps;
      steps = [];
      bytes = 0;
      chunks = 0;
    }
    yield steps;
  }

  /** `place`: in a folder that is not there yet nothing else can be. */
  async *#plan(
    entry: TreeEntry,
    path: ByteString,
    place: "root" | "present folder" | "new folder",
  ): AsyncGenerator<Step> {
    const isRoot = place === "root";
    const present =
      place === "new folder" ? undefined : this.#look(path, isRoot && entry.type === EntryType.directory);
    const clash = present && clashOf(entry, present);
    if (clash !== undefined) {
      const refusal = new Refusal("nameCollision", `${toText(path)}: ${clash}`, {
        hint: "Pull to another place, or move it away first.",
      });
      if (isRoot) throw refusal;
      this.#problem(path, refusal);
      return;
    }
    if (entry.type === EntryType.directory) {
      yield { step: "enter", path, entry };
      const children = await this.#trees.load(entry);
      const clashes = indistinguishable(children, () => this.#nameFolding());
      for (const child of children) {
        const childPath = `${path === "/" ? "" : path}/${child.name}`;
        const other = clashes.get(child);
        if (!other) yield* this.#plan(child, childPath, present ? "present folder" : "new folder");
        else
          this.#problem(
            childPath,
            new Refusal(
              "nameCollision",
              `this file system does not tell its name from that of ${toText(other.name)}`,
            ),
          );
      }
      yield { step: "leave", path, entry };
    } else if (present && this.#isKept(entry, present, path)) {
      this.result.skippedFiles++;
      this.result.bytes += entry.type === EntryType.file ? entry.sizeBytes : 0;
      this.#onEntry(path);
    } else if (entry.type === EntryType.symlink) yield { step: "symlink", path, entry };
    else yield* this.#pieces(entry, path);
  }

  /** Of the place that everything goes to; looked at once. */
  #nameFolding(): NameFolding {
    this.#folding ??= this.#probe(toByteString(dirname(toText(this.#root))));
    return this.#folding;
  }

  /** A long file comes in several pieces, so that no window depends on its length. */
  async *#pieces(entry: TreeEntry, path: ByteString): AsyncGenerator<Step> {
    let isFirst = true;
    let items: ChunkItem[] = [];
    let bytes = 0;
    try {
      for await (const part of this.#trees.items(entry))
        for (const item of part) {
          if (bytes + item.lengthBytes > WINDOW_BYTES / 2 && items.length > 0) {
            yield { step: "pieces", path, entry, items, isFirst, isLast: false };
            isFirst = false;
            items = [];
            bytes = 0;
          }
          items.push(item);
          bytes += item.id ? item.lengthBytes : 0;
        }
      yield { step: "pieces", path, entry, items, isFirst, isLast: true };
    } catch (error) {
      const reason =
        error instanceof DataError
          ? new Refusal("corruptedBlob", `its list of chunks is damaged: ${error.message}`, { cause: error })
          : error;
      if (!(reason instanceof Refusal) || !isAboutBlobs(reason)) throw error;
      yield { step: "broken", path, entry, reason };
    }
  }

  async #run(steps: readonly Step[], chunks: FetchedChunks): Promise<void> {
    for (const step of steps) {
      this.#signal?.throwIfAborted();
      if (performance.now() >= this.#turnAtMs) {
        await turn();
        this.#turnAtMs = performance.now() + TURN_MS;
      }
      try {
        await this.#runStep(step, chunks);
      } catch (error) {
        this.#writer?.abandon();
        this.#writer = undefined;
        if (step.step === "enter") this.#missing.add(step.path);
        const isRoot = step.path === this.#root;
        const refusal = fromFileError(error, `cannot write ${isRoot ? toText(step.path) : "it"}`);
        if (!(refusal instanceof Refusal)) {
          if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
          this.#giveUp(
            step.path,
            new Refusal("localIo", `cannot write it: ${(error as Error).message}`, { cause: error }),
          );
        } else if (refusal.kind === "localDiskFull" || isRoot) throw refusal;
        else this.#giveUp(step.path, refusal);
      }
    }
  }

  async #runStep(step: Step, chunks: FetchedChunks): Promise<void> {
    const { path, entry } = step;
    switch (step.step) {
      case "enter":
        this.#enter(path);
        return;
      case "leave":
        if (this.#missing.delete(path)) return;
        // The root of the repository has no mode and time of its own.
        if (entry.name !== "") setModeAndTime(path, entry);
        this.result.directories++;
        break;
      case "symlink":
        writeSymlink(path, entry);
        this.result.symlinks++;
        break;
      case "broken":
        this.#writer?.abandon();
        this.#writer = undefined;
        if (this.#broken !== path) this.#giveUp(path, step.reason);
        return;
      case "pieces":
        await this.#write(step, chunks);
        return;
    }
    this.#onEntry(path);
  }

  async #write(step: Extract<Step, { step: "pieces" }>, chunks: FetchedChunks): Promise<void> {
    const { path, entry, items, isFirst, isLast } = step;
    if (isFirst) this.#writer = new FileWriter(path);
    else if (this.#broken === path) return;
    for (const { id, lengthBytes } of items) {
      if (!id) {
        this.#writer?.hole(lengthBytes);
        this.result.bytes += lengthBytes;
        continue;
      }
      const bytes =
        chunks.chunks.get(chunkKey(id)) ?? new Refusal("missingBlob", "a chunk of it is not in the index");
      if (bytes instanceof Refusal) throw bytes;
      if (bytes.length !== lengthBytes)
        throw new Refusal("corruptedBlob", "a chunk of it has another length than recorded");
      await this.#writer?.write(bytes);
      this.result.bytes += lengthBytes;
    }
    if (!isLast) return;
    this.#writer?.finish(entry);
    this.#writer = undefined;
    this.result.files++;
    this.#onEntry(path);
  }

  /** The folder may be there already; what a link of that name points to is not ours to write in. */
  #enter(path: ByteString): void {
    try {
      mkdirSync(toBytes(path), { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const isFolder = (path === this.#root ? statSync : lstatSync)(toBytes(path)).isDirectory();
      if (!isFolder) throw new Refusal("nameCollision", `${toText(path)} is no folder`);
      removeLeftovers(path);
    }
  }

  #look(path: ByteString, follows: boolean): LocalStat | undefined {
    try {
      const stat = statLocal(path);
      return follows && stat.type === "symlink" && statSync(toBytes(path)).isDirectory()
        ? { ...stat, type: "directory" }
        : stat;
    } catch {
      return undefined; // Not there, or not ours to see: writing will tell.
    }
  }

  #isKept(entry: TreeEntry, present: LocalStat, path: ByteString): boolean {
    const nanos = (present.mtimeSeconds - entry.mtimeSeconds) * 1e9 + present.mtimeNanos - entry.mtimeNanos;
    const isComplete =
      entry.type === EntryType.file &&
      present.type === "file" &&
      present.sizeBytes === entry.sizeBytes &&
      Math.abs(nanos) < TIME_TOLERANCE_NANOS;
    if (isComplete && present.mode !== entry.mode) chmodSync(toBytes(path), entry.mode);
    return (
      isComplete ||
      this.#overwrite === "never" ||
      (this.#overwrite === "newer" && nanos >= -TIME_TOLERANCE_NANOS)
    );
  }

  #giveUp(path: ByteString, reason: Refusal): void {
    this.#broken = path;
    this.#problem(path, reason);
  }

  #problem(path: ByteString, reason: Refusal): void {
    this.result.problems.push({ path: toText(path), reason: reason.message, kind: reason.kind });
  }
}

/** Why `entry` cannot take the place of what is there. */
function clashOf(entry: TreeEntry, present: LocalStat): string | undefined {
  if (entry.type === EntryType.directory)
    return present.type === "directory"
      ? undefined
      : "there is a file of that name, and a folder would replace it";
  if (present.type === "directory") return "there is a folder of that name, and a file would replace it";
  return present.type === "other" ? "there is a device, socket or pipe of that name" : undefined;
}

function isAboutBlobs(refusal: Refusal): boolean {
  return refusal.kind === "corruptedBlob" || refusal.kind === "missingBlob";
}
