// SPDX-License-Identifier: MIT
/** A tree entry as commands see it. */

import { createHash } from "node:crypto";
import { toText } from "./byte-names";
import type { NodeType, RemoteNode } from "./repository-api";
import { EntryType, type TreeEntry } from "./tree";

const types: Readonly<Record<EntryType, NodeType>> = {
  [EntryType.file]: "file",
  [EntryType.directory]: "directory",
  [EntryType.symlink]: "symlink",
};

export function toRemoteNode(entry: TreeEntry): RemoteNode {
  return {
    name: toText(entry.name),
    type: types[entry.type],
    mode: entry.mode,
    mtimeNs: BigInt(entry.mtimeSeconds) * 1_000_000_000n + BigInt(entry.mtimeNanos),
    sizeBytes: entry.sizeBytes,
    entries: entry.entries,
    contentId: contentId(entry),
    ...(entry.type === EntryType.symlink ? { target: toText(entry.target) } : {}),
  };
}

/** The id of the only chunk, else a hash of the list of chunks. */
function contentId(entry: TreeEntry): string {
  const { content } = entry;
  if (content.length === 34) return Buffer.from(content.buffer, content.byteOffset + 2, 32).toString("hex");
  return createHash("sha256").update(content).update(entry.target, "latin1").digest("hex");
}
