// SPDX-License-Identifier: MIT
/**
 * Builds the tree of what is pushed: walks the local files, stores the chunks of those that changed, and the folders
 * from the leaves up. The result is a function of the local files alone; merging it into the repository comes after.
 */

import { basename, resolve } from "node:path";
import { Refusal, fromFileError } from "../refusal";
import { type ByteString, isSafeName, toByteString, toText } from "./byte-names";
import type { FileStorer } from "./file-storer";
import { LocalScan, type ScanEvent } from "./local-scan";
import { type LocalStat, isUnchanged, statLocal } from "./local-stat";
import type { PackUploader } from "./pack-uploader";
import type { Problem } from "./repository-api";
import { ChunkKind } from "./repository-keys";
import { EntryType, TreeBuilder, type TreeEntry, makeEntry } from "./tree";
import { collision } from "./tree-edit";
import { type EntryCursor, type TreeStore, findEntry } from "./tree-store";

export interface PushedTree {
  /** One for each source that could be read, named as it arrives. */
  nodes: TreeEntry[];
  files: number;
  directories: number;
  symlinks: number;
  bytes: number;
  unchangedFiles: number;
  problems: Problem[];
}

interface Level {
  name: ByteString;
  stat: LocalStat;
  builder: TreeBuilder;
  /** What the repository has in this folder now. */
  present: EntryCursor | undefined;
}

export class TreePusher {
  readonly #store: TreeStore;
  readonly #uploader: Pick<PackUploader, "offer" | "isRecorded">;
  readonly #files: FileStorer;
  readonly #mayReuse: boolean;
  readonly #areTargetsEqual: boolean;
  readonly #folder: readonly ByteString[];
  readonly #onWarning: (text: string) => void;
  readonly #onFile: (path: string, unchangedBytes: number) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #levels: Level[] = [];
  readonly result: PushedTree = {
    nodes: [],
    files: 0,
    directories: 0,
    symlinks: 0,
    bytes: 0,
    unchangedFiles: 0,
    problems: [],
  };

  constructor(options: {
    store: TreeStore;
    uploader: Pick<PackUploader, "offer" | "isRecorded">;
    files: FileStorer;
    /** False: every file is read, also those that look unchanged. */
    mayReuse: boolean;
    /** Every target has every pack, so that files need not be looked at one by one. */
    areTargetsEqual: boolean;
    /** Where it is going to be, for messages. */
    folder: readonly ByteString[];
    onWarning: (text: string) => void;
    onFile: (path: string, unchangedBytes: number) => void;
    signal?: AbortSignal | undefined;
  }) {
    this.#store = options.store;
    this.#uploader = options.uploader;
    this.#files = options.files;
    this.#mayReuse = options.mayReuse;
    this.#areTargetsEqual = options.areTargetsEqual;
    this.#folder = options.folder;
    this.#onWarning = options.onWarning;
    this.#onFile = options.onFile;
    this.#signal = options.signal;
  }

  /** `present`: what the target folder has now. */
  async push(scan: LocalScan, present: readonly TreeEntry[]): Promise<PushedTree> {
    for (let event = scan.next(); event; event = scan.next()) {
      this.#signal?.throwIfAborted();
      const level = this.#levels.at(-1);
      const known = level ? level.present?.find(event.name) : findEntry(present, event.name);
      const node = await this.#handle(event, known);
      if (!node) continue;
      const parent = this.#levels.at(-1);
      if (parent) parent.builder.add(node);
      else this.result.nodes.push(node);
    }
    return this.result;
  }

  async #handle(event: ScanEvent, present: TreeEntry | undefined): Promise<TreeEntry | undefined> {
    switch (event.event) {
      case "enter":
        if (present && present.type !== EntryType.directory) throw this.#collision(present);
        this.#levels.push({
          name: event.name,
          stat: event.stat,
          builder: new TreeBuilder(),
          present: present && (await this.#store.cursor(present)),
        });
        return undefined;
      case "leave":
        return this.#leave();
      case "problem":
        this.#problem(event.path, event.error);
        return undefined;
      case "other":
        this.#onWarning(`${toText(event.path)} is a device, socket or pipe and is left out`);
        return undefined;
      default:
        if (present?.type === EntryType.directory) throw this.#collision(present);
        return event.event === "symlink" ? this.#symlink(event) : this.#file(event, present);
    }
  }

  async #leave(): Promise<TreeEntry | undefined> {
    const level = this.#levels.pop();
    if (!level) return undefined;
    const { builder, name, stat } = level;
    this.result.directories++;
    const { sizeBytes, entries } = builder;
    const content =
      entries === 0
        ? undefined
        : await this.#store.encodeContent(builder.finish(), (kind, id, plaintext) =>
            this.#uploader.offer(kind, id, plaintext),
          );
    return makeEntry({
      ...common(name, stat),
      type: EntryType.directory,
      sizeBytes,
      entries,
      ...(content ? { content } : {}),
    });
  }

  #symlink(event: { name: ByteString; stat: LocalStat; target: ByteString }): TreeEntry {
    this.result.symlinks++;
    const { name, stat, target } = event;
    return makeEntry({ ...common(name, stat), type: EntryType.symlink, target, sizeBytes: target.length });
  }

  async #file(
    event: { path: ByteString; name: ByteString; stat: LocalStat },
    present: TreeEntry | undefined,
  ): Promise<TreeEntry | undefined> {
    const { path, name, stat } = event;
    let content: Uint8Array;
    let { sizeBytes } = stat;
    if (
      this.#mayReuse &&
      present?.type === EntryType.file &&
      isUnchanged(present, stat) &&
      (await this.#isEverywhere(present))
    ) {
      this.result.unchangedFiles++;
      this.#onFile(path, sizeBytes);
      ({ content } = present);
    } else {
      this.#onFile(path, 0);
      try {
        const stored = await this.#files.store(path, stat);
        ({ content, sizeBytes } = stored);
        if (!stored.isStable)
          this.#problem(
            path,
            new Refusal("incomplete", "it changed while it was read; what was read is stored"),
          );
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
        this.#problem(path, error);
        return undefined;
      }
    }
    this.result.files++;
    this.result.bytes += sizeBytes;
    const { inode, ctimeSeconds, ctimeNanos, device } = stat;
    return makeEntry({
      name,
      type: EntryType.file,
      mode: stat.mode,
      mtimeSeconds: stat.mtimeSeconds,
      mtimeNanos: stat.mtimeNanos,
      sizeBytes,
      content,
      inode,
      ctimeSeconds,
      ctimeNanos,
      device,
    });
  }

  /** Whether all targets have the file: one may have been added since it was pushed. */
  async #isEverywhere(present: TreeEntry): Promise<boolean> {
    if (this.#areTargetsEqual) return true;
    for await (const items of this.#store.items(present))
      for (const { id } of items) if (id && !this.#uploader.isRecorded(ChunkKind.data, id)) return false;
    return true;
  }

  #problem(path: ByteString, error: unknown): void {
    const refusal = fromFileError(error, "not stored");
    const isVanished = (error as NodeJS.ErrnoException).code === "ENOENT";
    const reason = isVanished
      ? "not stored: it vanished"
      : refusal instanceof Error
        ? refusal.message
        : String(refusal);
    this.result.problems.push({
      path: toText(path),
      reason,
      kind: refusal instanceof Refusal ? refusal.kind : "localIo",
    });
  }

  #collision(present: TreeEntry): Refusal {
    return collision(present, [...this.#folder, ...this.#levels.map((level) => level.name), present.name]);
  }
}

/** The sources of a push with the names that they arrive under. Refuses what cannot be pushed at all. */
export function pushRoots(sources: readonly string[]): { path: ByteString; name: ByteString }[] {
  if (sources.length === 0) throw new Refusal("usage", "nothing to push: no file or folder was named");
  const roots = new Map<ByteString, ByteString>();
  for (const source of sources) {
    const absolute = resolve(source);
    const name = toByteString(basename(absolute));
    const path = toByteString(absolute);
    if (!isSafeName(name))
      throw new Refusal("usage", `${source} has no name to arrive under`, {
        hint: "Push the files and folders in it instead.",
      });
    try {
      statLocal(path);
    } catch (error) {
      throw fromFileError(error, `cannot push ${source}`);
    }
    const other = roots.get(name);
    if (other !== undefined && other !== path)
      throw new Refusal("nameCollision", `${source} and ${toText(other)} would arrive under the same name`, {
        hint: "Push them to different folders with --to.",
      });
    roots.set(name, path);
  }
  return [...roots].map(([name, path]) => ({ path, name }));
}

function common(
  name: ByteString,
  stat: LocalStat,
): Pick<TreeEntry, "name" | "mode" | "mtimeSeconds" | "mtimeNanos"> {
  const { mode, mtimeSeconds, mtimeNanos } = stat;
  return { name, mode, mtimeSeconds, mtimeNanos };
}
