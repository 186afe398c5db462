// SPDX-License-Identifier: MIT
/**
 * Which files of which versions damaged chunks touch. Folders are judged once, however many versions have them, and only
 * the way to what is damaged is gone again for each version.
 */

import { type ByteString, toText } from "../byte-names";
import { type ChunkItem, contentItems } from "../content";
import type { ChunkIndex } from "../chunk-index";
import type { ChunkReader } from "../chunk-reader";
import { DataError } from "../../../firmware/protocol/data-error";
import { Refusal } from "../../refusal";
import type { Version } from "../history";
import { ChunkKind } from "../repository-keys";
import { EntryType, type TreeEntry } from "../tree";
import type { TreeStore } from "../tree-store";
import type { ChunkState, PackDamage } from "./damage";
import { EntrySet } from "../entry-set";
import { contentKey, isAboutContent } from "./reference-walk";

/** Damaged files that are named; more are only counted. About 30 MiB. */
export const MAX_NAMED_FILES = 100_000;
/** Damaged packs named with a file. */
const MAX_NAMED_PACKS = 8;

export interface FileDamage {
  path: string;
  type: "file" | "directory";
  sizeBytes: number;
  /** "reduced": another connected device still has it; "elsewhere": one that is not connected should; "lost": none. */
  state: Exclude<ChunkState, "good">;
  /** How many versions have this very file at this path, and the newest and oldest of them. */
  versions: number;
  newest: string;
  oldest: string;
  /** The newest version of all has it. */
  isCurrent: boolean;
  /** Damaged packs that it needs, some of them when there are many: device and id. */
  packs: { device: string; pack: string }[];
}

export interface VersionDamage {
  id: string;
  timeMs: number;
  writer: string;
  /** Damaged files and folders in it. */
  files: number;
}

export interface SurveyResult {
  files: FileDamage[];
  /** Damaged and not named. */
  moreFiles: number;
  versions: VersionDamage[];
  /** For each damaged pack that any file needs: how many different files. */
  filesOf: Map<PackDamage, number>;
}

export class DamageSurvey {
  readonly #trees: TreeStore;
  readonly #reader: ChunkReader;
  readonly #index: ChunkIndex;
  readonly #stateOf: (kind: ChunkKind, id: Uint8Array, onDamage: (damage: PackDamage) => void) => ChunkState;
  readonly #signal: AbortSignal | undefined;
  /** Folders that were judged, and those with damage in or below them: by number of their chunk, or by content. */
  readonly #judged: EntrySet;
  readonly #damaged: EntrySet;
  readonly #judgedOthers = new Map<string, boolean>();
  readonly #files = new Map<string, FileDamage>();
  readonly #result: SurveyResult = { files: [], moreFiles: 0, versions: [], filesOf: new Map() };
  #version: VersionDamage = { id: "", timeMs: 0, writer: "", files: 0 };
  #isCurrent = false;

  constructor(options: {
    trees: TreeStore;
    reader: ChunkReader;
    index: ChunkIndex;
    /** What is to be reported as damage: anything but "good". */
    stateOf: (kind: ChunkKind, id: Uint8Array, onDamage: (damage: PackDamage) => void) => ChunkState;
    signal?: AbortSignal | undefined;
  }) {
    this.#trees = options.trees;
    this.#reader = options.reader;
    this.#index = options.index;
    this.#stateOf = options.stateOf;
    this.#signal = options.signal;
    this.#judged = new EntrySet(options.index.size);
    this.#damaged = new EntrySet(options.index.size);
  }

  /** `versions` newest first. */
  async run(versions: readonly Version[]): Promise<SurveyResult> {
    for (const [i, { id, body, root, writer }] of versions.entries()) {
      this.#version = { id, timeMs: body.timeMs, writer, files: 0 };
      this.#isCurrent = i === 0;
      await this.#report(root, "");
      if (this.#version.files > 0) this.#result.versions.push(this.#version);
    }
    this.#result.files.push(...this.#files.values());
    return this.#result;
  }

  async #report(folder: TreeEntry, path: ByteString): Promise<void> {
    if (!(await this.#isDamaged(folder))) return;
    const own = await this.#judge(ChunkKind.tree, folder.content, undefined);
    let entries: readonly TreeEntry[] = [];
    try {
      entries = await this.#trees.load(folder);
    } catch (error) {
      if (!isAboutContent(error)) throw error;
      if (own.state === "good" && !isElsewhere(error)) own.state = "lost";
    }
    if (own.state !== "good") this.#note(folder, path === "" ? "/" : path, own.state, own.packs);
    for (const child of entries) {
      const childPath = `${path}/${child.name}`;
      if (child.type === EntryType.directory) await this.#report(child, childPath);
      if (child.type !== EntryType.file) continue;
      const { state, packs } = await this.#judge(ChunkKind.data, child.content, child.sizeBytes);
      if (state !== "good") this.#note(child, childPath, state, packs);
    }
  }

  /** Whether the folder's list of entries or anything below it is damaged. */
  async #isDamaged(folder: TreeEntry): Promise<boolean> {
    if (folder.content.length === 1) return false;
    const entry = folder.content[0] === 0x58 ? this.#index.entryOf(folder.content.subarray(2)) : undefined;
    const key = entry === undefined ? contentKey(folder.content) : "";
    if (entry !== undefined && this.#judged.has(entry)) return this.#damaged.has(entry);
    const known = this.#judgedOthers.get(key);
    if (entry === undefined && known !== undefined) return known;
    this.#signal?.throwIfAborted();
    const isDamaged = await this.#judgeFolder(folder);
    if (entry === undefined) this.#judgedOthers.set(key, isDamaged);
    else {
      this.#judged.add(entry);
      if (isDamaged) this.#damaged.add(entry);
    }
    return isDamaged;
  }

  async #judgeFolder(folder: TreeEntry): Promise<boolean> {
    if ((await this.#judge(ChunkKind.tree, folder.content, undefined)).state !== "good") return true;
    try {
      for (const child of await this.#trees.load(folder)) {
        if (child.type === EntryType.directory && (await this.#isDamaged(child))) return true;
        if (child.type !== EntryType.file) continue;
        if ((await this.#judge(ChunkKind.data, child.content, child.sizeBytes)).state !== "good") return true;
      }
      return false;
    } catch (error) {
      if (!isAboutContent(error)) throw error;
      return !isElsewhere(error);
    }
  }

  /** The worst state of all chunks of a content, and the damaged packs that they are in. */
  async #judge(
    kind: ChunkKind,
    content: Uint8Array,
    sizeBytes: number | undefined,
  ): Promise<{ state: ChunkState; packs: Set<PackDamage> }> {
    const packs = new Set<PackDamage>();
    let state = "good" as ChunkState;
    const take = (chunkKind: ChunkKind, id: Uint8Array): void => {
      state = worse(
        state,
        this.#stateOf(chunkKind, id, (damage) => packs.add(damage)),
      );
    };
    const loadList = (item: ChunkItem): Promise<Uint8Array> => {
      if (!item.id) throw new DataError("type", "a hole where a list is needed");
      take(ChunkKind.list, item.id);
      return this.#reader.read(ChunkKind.list, item.id);
    };
    try {
      for await (const items of contentItems(content, sizeBytes, loadList))
        for (const { id } of items) if (id) take(kind, id);
    } catch (error) {
      if (!isAboutContent(error)) throw error;
      // A list that does not decode although nothing is wrong with its chunk: a defect of whoever wrote it.
      if (state === "good" && !isElsewhere(error)) state = "lost";
    }
    return { state, packs };
  }

  #note(
    entry: TreeEntry,
    path: ByteString,
    state: Exclude<ChunkState, "good">,
    packs: ReadonlySet<PackDamage>,
  ): void {
    this.#version.files++;
    const key = `${contentKey(entry.content)}${path}`;
    const known = this.#files.get(key);
    if (known) {
      known.versions++;
      known.oldest = this.#version.id;
      return;
    }
    if (this.#files.size >= MAX_NAMED_FILES) {
      this.#result.moreFiles++;
      return;
    }
    const { filesOf } = this.#result;
    for (const damage of packs) filesOf.set(damage, (filesOf.get(damage) ?? 0) + 1);
    this.#files.set(key, {
      path: toText(path),
      type: entry.type === EntryType.directory ? "directory" : "file",
      sizeBytes: entry.sizeBytes,
      state,
      versions: 1,
      newest: this.#version.id,
      oldest: this.#version.id,
      isCurrent: this.#isCurrent,
      packs: [...packs].slice(0, MAX_NAMED_PACKS).map(({ device, pack }) => ({
        device,
        pack: Buffer.from(pack.id).toString("hex"),
      })),
    });
  }
}

const order: readonly ChunkState[] = ["good", "reduced", "elsewhere", "lost"];

/** Nothing was found damaged, and yet it is not there: it is on a device that is not connected. */
function isElsewhere(error: unknown): boolean {
  return error instanceof Refusal && error.kind === "missingBlob";
}

function worse(a: ChunkState, b: ChunkState): ChunkState {
  return order.indexOf(a) >= order.indexOf(b) ? a : b;
}
