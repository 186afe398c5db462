// SPDX-License-Identifier: MIT
/**
 * Merges two trees that grew from one: what only one side changed is taken from it, and what both changed is kept twice.
 * Only folders that differ are loaded. Nothing here depends on the order in which a computer learned of things, so equal
 * arguments give equal bytes. docs/repository.md "Several writers".
 */

import { Refusal } from "../refusal";
import type { ByteString } from "./byte-names";
import { type ConflictOrigin, conflictName } from "./conflict-name";
import { EMPTY_CONTENT } from "./content";
import { type EntryOrder, compareOrder } from "./entry-order";
import { EntryType, type TreeEntry, encodeEntry } from "./tree";
import type { TreeStore } from "./tree-store";

export interface LeafOrigin extends ConflictOrigin {
  order: EntryOrder;
}

/** One of the two trees. */
export interface MergeSide {
  root: TreeEntry;
  /** Who made the leaf at `path` what it is on this side. Asked only when both sides changed it. */
  origin(path: readonly ByteString[], leaf: TreeEntry): Promise<LeafOrigin>;
}

/** A node of the merged folder, and a leaf that needs another name in it. */
interface MergedNode {
  kept: TreeEntry | undefined;
  copy?: { leaf: TreeEntry; origin: LeafOrigin };
}

export class TreeMerge {
  readonly #store: TreeStore;
  readonly #earlier: MergeSide;
  readonly #later: MergeSide;
  readonly #onWarning: (text: string) => void;

  /** `later` gives a folder its mode and time when both sides changed them. */
  constructor(options: {
    store: TreeStore;
    earlier: MergeSide;
    later: MergeSide;
    onWarning: (text: string) => void;
  }) {
    this.#store = options.store;
    this.#earlier = options.earlier;
    this.#later = options.later;
    this.#onWarning = options.onWarning;
  }

  /** `base`: the tree from which both sides grew. */
  async merge(base: TreeEntry): Promise<TreeEntry> {
    return this.#folder([], base, this.#earlier.root, this.#later.root);
  }

  async #node(
    path: readonly ByteString[],
    base: TreeEntry | undefined,
    earlier: TreeEntry | undefined,
    later: TreeEntry | undefined,
  ): Promise<MergedNode> {
    if (areIdentical(earlier, later) || areIdentical(base, earlier)) return { kept: later };
    if (areIdentical(base, later)) return { kept: earlier };
    const areFolders = [isFolder(earlier), isFolder(later)];
    if (earlier && later && areFolders[0] && areFolders[1])
      return { kept: await this.#folder(path, isFolder(base) ? base : undefined, earlier, later) };
    if (areFolders[0] || areFolders[1]) return this.#folderOrLeaf(path, base, earlier, later);
    // One side removed what the other changed: what was changed has been seen by nobody else and stays.
    if (!earlier || !later) return { kept: earlier ?? later };
    if (haveSameContent(earlier, later) || haveSameContent(base, earlier)) return { kept: later };
    if (haveSameContent(base, later)) return { kept: earlier };
    const origins = [
      await this.#earlier.origin(path, earlier),
      await this.#later.origin(path, later),
    ] as const;
    return compareOrder(origins[0].order, origins[1].order) < 0
      ? { kept: later, copy: { leaf: earlier, origin: origins[0] } }
      : { kept: earlier, copy: { leaf: later, origin: origins[1] } };
  }

  /** Of a folder and a leaf of one name the folder keeps it: paths lead through it. */
  async #folderOrLeaf(
    path: readonly ByteString[],
    base: TreeEntry | undefined,
    earlier: TreeEntry | undefined,
    later: TreeEntry | undefined,
  ): Promise<MergedNode> {
    const leafSide = isFolder(earlier) ? this.#later : this.#earlier;
    const leaf = isFolder(earlier) ? later : earlier;
    const folder = await this.#changedIn(path, isFolder(base) ? base : undefined, earlier, later);
    if (!folder || !leaf) return { kept: folder ?? leaf };
    if (haveSameContent(base, leaf)) return { kept: folder };
    return { kept: folder, copy: { leaf, origin: await leafSide.origin(path, leaf) } };
  }

  /** What one side changed in a folder that the other removed; undefined when that is nothing. */
  async #changedIn(
    path: readonly ByteString[],
    base: TreeEntry | undefined,
    earlier: TreeEntry | undefined,
    later: TreeEntry | undefined,
  ): Promise<TreeEntry | undefined> {
    const folderOf = (entry: TreeEntry | undefined): TreeEntry | undefined =>
      isFolder(entry) ? entry : undefined;
    if (!base) return folderOf(earlier) ?? folderOf(later);
    const nothing: TreeEntry = { ...base, content: EMPTY_CONTENT, sizeBytes: 0, entries: 0 };
    const changed = await this.#folder(path, base, folderOf(earlier) ?? nothing, folderOf(later) ?? nothing);
    return changed.entries === 0 ? undefined : changed;
  }

  async #folder(
    path: readonly ByteString[],
    base: TreeEntry | undefined,
    earlier: TreeEntry,
    later: TreeEntry,
  ): Promise<TreeEntry> {
    const like = base && haveSameAttributes(base, later) ? earlier : later;
    const whole =
      haveSameContent(earlier, later) || haveSameContent(base, earlier)
        ? later
        : haveSameContent(base, later)
          ? earlier
          : undefined;
    if (whole) {
      const { content, sizeBytes, entries } = whole;
      return { ...like, content, sizeBytes, entries };
    }
    const bases = byName(base ? await this.#loadBase(base) : []);
    const earliers = byName(await this.#store.load(earlier));
    const laters = byName(await this.#store.load(later));
    const merged = new Map<ByteString, TreeEntry>();
    const copies: NonNullable<MergedNode["copy"]>[] = [];
    for (const name of sorted(new Set([...earliers.keys(), ...laters.keys()]))) {
      const { kept, copy } = await this.#node(
        [...path, name],
        bases.get(name),
        earliers.get(name),
        laters.get(name),
      );
      if (kept) merged.set(name, kept);
      if (copy) copies.push(copy);
    }
    for (const { leaf, origin } of copies) addCopy(merged, leaf, origin);
    const nodes = sorted(merged.keys()).map((name) => merged.get(name) as TreeEntry);
    return this.#store.make(like, nodes);
  }

  /** Without its base nothing counts as removed and everything that differs as changed by both: more is kept, not less. */
  async #loadBase(base: TreeEntry): Promise<readonly TreeEntry[]> {
    try {
      return await this.#store.load(base);
    } catch (error) {
      if (!(error instanceof Refusal) || (error.kind !== "missingBlob" && error.kind !== "corruptedBlob"))
        throw error;
      this.#onWarning(`an older version of a folder cannot be read, so both of what differs is kept`);
      return [];
    }
  }
}

/** Under the first name that is free, unless the same leaf has such a name already. */
function addCopy(merged: Map<ByteString, TreeEntry>, leaf: TreeEntry, origin: ConflictOrigin): void {
  for (let attempt = 1; ; attempt++) {
    const name = conflictName(leaf.name, origin, attempt);
    const present = merged.get(name);
    if (present && haveSameContent(present, leaf)) return;
    if (present) continue;
    merged.set(name, { ...leaf, name });
    return;
  }
}

function isFolder(entry: TreeEntry | undefined): boolean {
  return entry?.type === EntryType.directory;
}

export function areIdentical(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  if (a === b) return true;
  if (!a || !b) return false;
  return haveSameContent(a, b) && haveSameAttributes(a, b);
}

/** The same kind of node with the same bytes, entries or target. */
export function haveSameContent(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  return (
    a !== undefined &&
    a.type === b?.type &&
    a.sizeBytes === b.sizeBytes &&
    a.target === b.target &&
    Buffer.compare(a.content, b.content) === 0
  );
}

/** Everything but the content. */
function haveSameAttributes(a: TreeEntry, b: TreeEntry): boolean {
  if (a.mode !== b.mode || a.mtimeSeconds !== b.mtimeSeconds || a.mtimeNanos !== b.mtimeNanos) return false;
  const { content, sizeBytes, entries, target } = a;
  return Buffer.compare(encodeEntry(a), encodeEntry({ ...b, content, sizeBytes, entries, target })) === 0;
}

function byName(entries: readonly TreeEntry[]): Map<ByteString, TreeEntry> {
  return new Map(entries.map((entry) => [entry.name, entry]));
}

/** Byte strings sort as their bytes do. */
function sorted(names: Iterable<ByteString>): ByteString[] {
  return [...names].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
