// SPDX-License-Identifier: MIT
/**
 * The folders of a simulated card. Each name has what the running system sees and what is durable; where the two
 * differ, a power cut decides, name by name.
 */
import type { CardContent, CardStore } from "./card-store";
import { CardFile } from "./card-file";
import type { SeededRandom } from "./seeded-random";
import type { StaleClusters } from "./stale-clusters";

export type CardNode = CardFile | CardDirectory;

export interface CardEntry {
  live: CardNode | undefined;
  durable: CardNode | undefined;
  /** When the durable node was removed, for the bound on what can come back. */
  removedAt: number;
}

export class CardDirectory {
  readonly entries = new Map<string, CardEntry>();

  /** In the directory's own order: FAT reuses the place of a removed entry, so it means nothing. */
  *live(): Generator<[string, CardNode]> {
    for (const [name, entry] of this.entries) if (entry.live !== undefined) yield [name, entry.live];
  }

  get isEmpty(): boolean {
    return this.live().next().done === true;
  }
}

interface RemovedNode {
  directory: CardDirectory;
  name: string;
  node: CardNode;
  order: number;
}

/** Removed files that a power cut may bring back; older removals are durable. Bounds memory and host files. */
const MAX_REMOVED = 64;

export class CardTree {
  readonly root = new CardDirectory();
  readonly #store: CardStore;
  readonly #stale: StaleClusters;
  #fileCount = 0;
  #removalCount = 0;
  #removed: RemovedNode[] = [];

  constructor(store: CardStore, stale: StaleClusters) {
    this.#store = store;
    this.#stale = stale;
    for (const { path, isDirectory } of store.list()) {
      const found = this.find(path);
      if (found === undefined) continue;
      const node = isDirectory ? new CardDirectory() : this.newFile(store.content(path));
      found.directory.entries.set(found.name, { live: node, durable: node, removedAt: 0 });
      if (node instanceof CardFile) node.content?.rest();
    }
  }

  newFile(content?: CardContent): CardFile {
    return new CardFile(this.#fileCount++, this.#stale, content);
  }

  /** The folder that holds the path's last name, and what is there; undefined when a folder on the way is missing. */
  find(path: string): { directory: CardDirectory; name: string; entry: CardEntry | undefined } | undefined {
    const names = path.split("/");
    const name = names.pop() ?? "";
    let directory = this.root;
    for (const step of names) {
      const next = directory.entries.get(step)?.live;
      if (!(next instanceof CardDirectory)) return undefined;
      directory = next;
    }
    return { directory, name, entry: directory.entries.get(name) };
  }

  create(directory: CardDirectory, name: string, node: CardNode): void {
    const entry = directory.entries.get(name);
    if (entry !== undefined) entry.live = node;
    else directory.entries.set(name, { live: node, durable: undefined, removedAt: 0 });
  }

  /** The name, and what it stands for, survive from now on. A removed file of that name cannot come back. */
  makeDurable(directory: CardDirectory, name: string, node: CardNode, path: string): void {
    const entry = directory.entries.get(name);
    if (entry?.live !== node || entry.durable === node) return;
    if (entry.durable instanceof CardFile) entry.durable.content?.delete();
    entry.durable = node;
    if (node instanceof CardDirectory) this.#store.makeDirectory(path);
  }

  /** Where a file's bytes go when they become durable. */
  place(path: string, entry: CardEntry | undefined): CardContent {
    if (entry?.durable instanceof CardFile && entry.durable !== entry.live) entry.durable.content?.detach();
    return this.#store.content(path);
  }

  remove(directory: CardDirectory, name: string, path: string): void {
    const entry = directory.entries.get(name);
    const node = entry?.live;
    if (entry === undefined || node === undefined) return;
    entry.live = undefined;
    if (node instanceof CardFile) node.leaveStale();
    if (entry.durable === undefined) {
      directory.entries.delete(name);
      if (node instanceof CardFile) node.content?.delete();
      return;
    }
    if (node !== entry.durable) return; // made again after a removal that is not durable yet: that one still is
    entry.removedAt = ++this.#removalCount;
    if (node instanceof CardFile) node.content?.detach();
    else this.#store.removeDirectory(path);
    this.#removed.push({ directory, name, node, order: entry.removedAt });
    while (this.#removed.length > MAX_REMOVED) this.#forget(this.#removed.shift());
  }

  /** How many removals there were so far. */
  get removalCount(): number {
    return this.#removalCount;
  }

  /** A flush has ended that started after the first `count` removals: they are durable. */
  confirmRemovals(count: number): void {
    while ((this.#removed[0]?.order ?? Infinity) <= count) this.#forget(this.#removed.shift());
  }

  #forget(removed: RemovedNode | undefined): void {
    const entry = removed?.directory.entries.get(removed.name);
    if (
      removed === undefined ||
      entry === undefined ||
      entry.durable !== removed.node ||
      entry.live === removed.node
    )
      return;
    if (removed.node instanceof CardFile) removed.node.content?.delete();
    entry.durable = undefined;
    if (entry.live === undefined) removed.directory.entries.delete(removed.name);
  }

  /** The power is gone: decides for every name and every file what the medium holds. */
  settle(random: SeededRandom, clusterBytes: number): void {
    this.#removed = [];
    this.#settleDirectory(this.root, "", random, clusterBytes);
  }

  #settleDirectory(directory: CardDirectory, path: string, random: SeededRandom, clusterBytes: number): void {
    for (const [name, entry] of [...directory.entries]) {
      let finalName = name;
      if (entry.live !== entry.durable) {
        const { live, durable } = entry;
        const outcomes = [...new Set([durable, live, undefined])]; // back, made, or gone
        const kept = outcomes[random.below(outcomes.length)];
        for (const lost of new Set([live, durable]))
          if (lost instanceof CardFile && lost !== kept) lost.content?.delete();
        directory.entries.delete(name);
        if (kept === undefined) continue;
        // Half of a long name's entries are lost: the file appears under its short alias.
        if (kept === live && kept instanceof CardFile && random.oneIn(8))
          finalName = shortAlias(name, directory);
        directory.entries.set(finalName, { live: kept, durable: kept, removedAt: 0 });
        entry.live = kept;
      }
      const childPath = path === "" ? finalName : `${path}/${finalName}`;
      if (entry.live instanceof CardDirectory) {
        this.#store.makeDirectory(childPath);
        this.#settleDirectory(entry.live, childPath, random, clusterBytes);
      } else if (entry.live instanceof CardFile) {
        this.#settleFile(entry.live, childPath, random, clusterBytes);
      }
    }
  }

  #settleFile(file: CardFile, path: string, random: SeededRandom, clusterBytes: number): void {
    file.openCount = 0;
    file.content?.attach(path); // a file that came back, or that is found under its alias
    if (file.isPending) file.settle(random, () => this.#store.content(path), clusterBytes);
    else if (file.content === undefined) file.commit(0, () => this.#store.content(path)); // an empty file
    file.content?.rest();
  }

  /** Copies what is durable into another, empty tree. */
  copyDurable(to: CardTree): void {
    const copy = (from: CardDirectory, into: CardDirectory, path: string) => {
      for (const [name, { durable }] of from.entries) {
        if (durable === undefined) continue;
        const childPath = path === "" ? name : `${path}/${name}`;
        if (durable instanceof CardDirectory) {
          const made = new CardDirectory();
          into.entries.set(name, { live: made, durable: made, removedAt: 0 });
          to.#store.makeDirectory(childPath);
          copy(durable, made, childPath);
        } else {
          const content = to.#store.content(childPath);
          const bytes = new Uint8Array(durable.content?.sizeBytes ?? 0);
          durable.content?.read(bytes, 0);
          content.write(bytes, 0);
          const made = to.newFile(content);
          made.readableBytes = durable.readableBytes;
          into.entries.set(name, { live: made, durable: made, removedAt: 0 });
        }
      }
    };
    copy(this.root, to.root, "");
  }
}

/** As FAT makes them: six characters, a number, three characters of the extension. */
function shortAlias(name: string, directory: CardDirectory): string {
  const dot = name.lastIndexOf(".");
  const stem = (dot > 0 ? name.slice(0, dot) : name).replaceAll(/[.-]/g, "").slice(0, 6);
  const extension = dot > 0 ? name.slice(dot, dot + 4) : "";
  let number = 1;
  while (directory.entries.has(`${stem}~${String(number)}${extension}`)) number++;
  return `${stem}~${String(number)}${extension}`;
}
