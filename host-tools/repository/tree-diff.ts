// SPDX-License-Identifier: MIT
/**
 * What differs between two trees, in the order of a walk: parents first, names by their bytes. Only folders whose content
 * differs are looked into. Times are no difference: a file that was touched is the same file.
 */

import { type ByteString, toText } from "./byte-names";
import { toRemoteNode } from "./remote-node";
import type { NodeChange } from "./repository-api";
import { EntryType, type TreeEntry } from "./tree";
import type { TreeStore } from "./tree-store";

/** `path` is that of both, "" for the root; undefined: there is nothing there. */
export async function* diffTrees(
  trees: TreeStore,
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
  path: string,
): AsyncGenerator<NodeChange> {
  const change = changeOf(before, after);
  if (change)
    yield {
      path: path === "" ? "/" : path,
      change,
      ...(before ? { before: toRemoteNode(before) } : {}),
      ...(after ? { after: toRemoteNode(after) } : {}),
    };
  const folders = [before, after].map((entry) => (entry?.type === EntryType.directory ? entry : undefined));
  const [old, now] = folders;
  if (old && now && isSameContent(old, now)) return;
  const [olds, news] = await Promise.all(folders.map(async (folder) => (folder ? trees.load(folder) : [])));
  for (const [name, one, other] of inPairs(olds ?? [], news ?? []))
    yield* diffTrees(trees, one, other, `${path}/${toText(name)}`);
}

export function isSameContent(a: TreeEntry, b: TreeEntry): boolean {
  return a.type === b.type && a.target === b.target && Buffer.compare(a.content, b.content) === 0;
}

function changeOf(
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
): NodeChange["change"] | undefined {
  if (!before) return after ? "added" : undefined;
  if (!after) return "removed";
  if (before.type !== after.type) return "type";
  if (before.type !== EntryType.directory && !isSameContent(before, after)) return "modified";
  return before.mode === after.mode ? undefined : "mode";
}

/** Entries of two folders side by side; both are in the order of their names. */
export function* inPairs(
  olds: readonly TreeEntry[],
  news: readonly TreeEntry[],
): Generator<[name: ByteString, old: TreeEntry | undefined, now: TreeEntry | undefined]> {
  let [o, n] = [0, 0];
  for (;;) {
    const [old, now] = [olds[o], news[n]];
    if (!old && !now) return;
    const name = !now || (old && old.name < now.name) ? (old?.name ?? "") : now.name;
    const [isOld, isNow] = [old?.name === name, now?.name === name];
    yield [name, isOld ? old : undefined, isNow ? now : undefined];
    if (isOld) o++;
    if (isNow) n++;
  }
}
