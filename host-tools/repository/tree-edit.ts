// SPDX-License-Identifier: MIT
/**
 * Operations of a log entry applied to a tree: pure functions from root to root over a TreeStore. The same code makes a
 * new state here and replays the operations of another writer, so that all computers come to the same result.
 */

import { Refusal } from "../refusal";
import { type ByteString, formatRemotePath, fromBytes } from "./byte-names";
import type { Operation } from "./log-entry";
import { EntryType, type TreeEntry, decodeEntry, makeEntry } from "./tree";
import { type TreeStore, findEntry } from "./tree-store";

export class TreeEditor {
  readonly #store: TreeStore;

  constructor(store: TreeStore) {
    this.#store = store;
  }

  /** Replays one operation. Where it does not fit any more, it changes nothing. */
  async apply(root: TreeEntry, operation: Operation): Promise<TreeEntry> {
    const names = (parts: readonly Uint8Array[]): ByteString[] => parts.map(fromBytes);
    try {
      switch (operation.op) {
        case "put":
          return await this.put(root, names(operation.folder), decodeEntry(operation.node));
        case "mkdir": {
          const path = names(operation.path);
          return await this.put(root, path.slice(0, -1), decodeEntry(operation.node));
        }
        case "remove":
          return await this.remove(root, names(operation.path));
        case "move":
          return await this.move(root, names(operation.from), names(operation.to));
        case "set": {
          const path = names(operation.path);
          return await this.set(root, path, decodeEntry(operation.node, { isRoot: path.length === 0 }));
        }
        case "tag":
        case "untag":
        case "forget":
        case "condemn":
        case "drop":
        case "lost":
          return root;
      }
    } catch (error) {
      if (error instanceof Refusal && (error.kind === "nameCollision" || error.kind === "wrongKind"))
        return root;
      throw error;
    }
  }

  /** Merges `node` into the folder at `path`; folders missing on the way are made like it, with the time of `node`. */
  async put(root: TreeEntry, path: readonly ByteString[], node: TreeEntry): Promise<TreeEntry> {
    return this.#change(root, path, 0, node, (entries, folder) =>
      this.#mergeInto(entries, node, [...path.slice(0, folder)]),
    );
  }

  /** Takes away what is at `path`, if anything is. */
  async remove(root: TreeEntry, path: readonly ByteString[]): Promise<TreeEntry> {
    const name = path.at(-1);
    if (name === undefined || !(await this.#store.find(root, path))) return root;
    return this.#change(root, path.slice(0, -1), 0, undefined, (entries) =>
      Promise.resolve(entries.filter((entry) => entry.name !== name)),
    );
  }

  /** Gives what is at `from` the path `to`; a leaf there is replaced, a folder is not. */
  async move(root: TreeEntry, from: readonly ByteString[], to: readonly ByteString[]): Promise<TreeEntry> {
    const node = await this.#store.find(root, from);
    const name = to.at(-1);
    if (!node || name === undefined) return root;
    const target = await this.#store.find(root, to);
    if (target && (target.type === EntryType.directory || node.type === EntryType.directory)) return root;
    return this.put(await this.remove(root, from), to.slice(0, -1), { ...node, name });
  }

  /** Makes `node` what is at `path`, whatever was there; folders missing on the way are made as in `put`. */
  async set(root: TreeEntry, path: readonly ByteString[], node: TreeEntry): Promise<TreeEntry> {
    if (path.length === 0) return node;
    return this.#change(root, path.slice(0, -1), 0, node, (entries) => {
      const present = findEntry(entries, node.name);
      return Promise.resolve(present && areEqual(present, node) ? entries : inserted(entries, node));
    });
  }

  /** Both folders: the entries of both, `added` winning among leaves. Refuses a leaf over a folder and a folder over a leaf. */
  async merge(present: TreeEntry, added: TreeEntry, path: readonly ByteString[]): Promise<TreeEntry> {
    const areFolders = [present, added].map((entry) => entry.type === EntryType.directory);
    if (areFolders[0] !== areFolders[1]) throw collision(present, [...path, present.name]);
    if (areFolders[0] !== true || Buffer.compare(present.content, added.content) === 0) return added;
    const [olds, news] = await Promise.all([this.#store.load(present), this.#store.load(added)]);
    const merged: TreeEntry[] = [];
    let isSameAsAdded = true;
    let next = 0;
    for (const old of olds) {
      for (; (news[next]?.name ?? "\uffff") < old.name; next++)
        if (news[next]) merged.push(news[next] as TreeEntry);
      const other = news[next];
      if (other?.name !== old.name) {
        merged.push(old);
        isSameAsAdded = false;
        continue;
      }
      const both = await this.merge(old, other, [...path, present.name]);
      if (both !== other) isSameAsAdded = false;
      merged.push(both);
      next++;
    }
    merged.push(...news.slice(next));
    return isSameAsAdded ? added : this.#store.make(added, merged);
  }

  async #mergeInto(
    entries: readonly TreeEntry[],
    node: TreeEntry,
    path: readonly ByteString[],
  ): Promise<readonly TreeEntry[]> {
    const present = findEntry(entries, node.name);
    const merged = present ? await this.merge(present, node, path) : node;
    if (present && areEqual(present, merged)) return entries;
    return inserted(entries, merged);
  }

  /** Rebuilds the folders from the one at `path` up to the root. `like` set: folders that are missing are made. */
  async #change(
    folder: TreeEntry,
    path: readonly ByteString[],
    depth: number,
    like: TreeEntry | undefined,
    change: (entries: readonly TreeEntry[], depth: number) => Promise<readonly TreeEntry[]>,
  ): Promise<TreeEntry> {
    const entries = await this.#store.load(folder);
    const name = path[depth];
    let changed: readonly TreeEntry[];
    if (name === undefined) changed = await change(entries, depth);
    else {
      const present = findEntry(entries, name);
      if (!present && !like) return folder;
      const below = present ?? newFolder(name, like);
      if (below.type !== EntryType.directory) throw collision(below, path.slice(0, depth + 1));
      const edited = await this.#change(below, path, depth + 1, like, change);
      changed = present && edited === present ? entries : inserted(entries, edited);
    }
    return changed === entries ? folder : this.#store.make(folder, changed);
  }
}

export function newFolder(name: ByteString, like: TreeEntry | undefined): TreeEntry {
  const { mtimeSeconds = 0, mtimeNanos = 0 } = like ?? {};
  return makeEntry({ name, type: EntryType.directory, mode: 0o755, mtimeSeconds, mtimeNanos });
}

export function collision(present: TreeEntry, path: readonly ByteString[]): Refusal {
  const where = formatRemotePath(path);
  return present.type === EntryType.directory
    ? new Refusal(
        "nameCollision",
        `${where} is a folder on the device, and a file of that name would replace it`,
        {
          hint: "Move or remove the folder first, or choose another place.",
        },
      )
    : new Refusal(
        "nameCollision",
        `${where} is a file on the device, and a folder of that name would replace it`,
        {
          hint: "Move or remove the file first, or choose another place.",
        },
      );
}

function inserted(entries: readonly TreeEntry[], entry: TreeEntry): TreeEntry[] {
  const at = entries.findIndex((other) => other.name >= entry.name);
  if (at < 0) return [...entries, entry];
  return [...entries.slice(0, at), entry, ...entries.slice(entries[at]?.name === entry.name ? at + 1 : at)];
}

/** Equal in everything that a person could notice, and in what tells that a file is unchanged. */
function areEqual(a: TreeEntry, b: TreeEntry): boolean {
  return (
    a.type === b.type &&
    a.mode === b.mode &&
    a.mtimeSeconds === b.mtimeSeconds &&
    a.mtimeNanos === b.mtimeNanos &&
    a.target === b.target &&
    a.inode === b.inode &&
    a.ctimeSeconds === b.ctimeSeconds &&
    a.ctimeNanos === b.ctimeNanos &&
    Buffer.compare(a.content, b.content) === 0
  );
}
