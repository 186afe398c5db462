// SPDX-License-Identifier: MIT
/**
 * A move that one side of a merge made, made on the other side and on their base too: what the other side changed in
 * the moved file or folder then appears where it was moved to. docs/repository.md "Several writers".
 */

import { Refusal } from "../refusal";
import type { ByteString } from "./byte-names";
import { EntryType, type TreeEntry } from "./tree";
import type { TreeEditor } from "./tree-edit";
import { areIdentical } from "./tree-merge";
import type { TreeStore } from "./tree-store";

type BaseAndOther = [base: TreeEntry, other: TreeEntry];

/** Both trees with the move, or both as they were where it would meet with anything that is not the same in both. */
export async function rebaseMoves(
  editor: TreeEditor,
  store: TreeStore,
  trees: BaseAndOther,
  from: readonly ByteString[],
  to: readonly ByteString[],
): Promise<BaseAndOther> {
  const [base, other] = trees;
  const moved = [await store.find(base, from), await store.find(other, from)];
  const replaced = [await store.find(base, to), await store.find(other, to)];
  if (!moved[0] || moved[0].type !== moved[1]?.type) return trees;
  if (!areIdentical(replaced[0], replaced[1]) || replaced[0]?.type === EntryType.directory) return trees;
  try {
    const after: BaseAndOther = [await editor.move(base, from, to), await editor.move(other, from, to)];
    const isDone = after[0] !== base && after[1] !== other;
    return isDone ? after : trees;
  } catch (error) {
    // Another file is in the place of a folder on the way.
    if (error instanceof Refusal && error.kind === "nameCollision") return trees;
    throw error;
  }
}
