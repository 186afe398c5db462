// SPDX-License-Identifier: MIT
/** mkdir, rmdir, rm and mv: what they refuse, and the operations that they come to. */

import { Refusal } from "../refusal";
import { formatRemotePath, parseRemotePath, toBytes } from "./byte-names";
import type { Operation } from "./log-entry";
import type { RepositoryParts } from "./repository-parts";
import { EntryType, encodeEntry, makeEntry } from "./tree";
import { newFolder } from "./tree-edit";

/** None when the folder is there already and `parents` allows that. */
export async function makeDirectory(
  parts: RepositoryParts,
  path: string,
  options: { parents: boolean },
): Promise<Operation[]> {
  const names = parseRemotePath(path);
  const name = names.at(-1);
  const present = await parts.find(names);
  if (present?.type === EntryType.directory && options.parents) return [];
  if (name === undefined || present)
    throw new Refusal("nameCollision", `${formatRemotePath(names)} already exists`, {
      hint: "Choose another name.",
    });
  const parent = names.slice(0, -1);
  if (options.parents) await parts.targetFolder(parent);
  else await parts.requireFolder(parent);
  const nowMs = Date.now();
  const node = makeEntry({
    ...newFolder(name, undefined),
    mtimeSeconds: Math.floor(nowMs / 1000),
    mtimeNanos: (nowMs % 1000) * 1_000_000,
  });
  return [{ op: "mkdir", path: names.map(toBytes), node: encodeEntry(node) }];
}

/** Only an empty folder. */
export async function removeDirectory(parts: RepositoryParts, path: string): Promise<Operation[]> {
  const names = parseRemotePath(path);
  const entry = await parts.require(path);
  if (names.length === 0) throw new Refusal("usage", "the root cannot be removed");
  if (entry.type !== EntryType.directory)
    throw new Refusal("wrongKind", `${formatRemotePath(names)} is no folder`, {
      hint: "Remove files with `coffer rm`.",
    });
  if (entry.entries > 0)
    throw new Refusal("folderNotEmpty", `${formatRemotePath(names)} is not empty`, {
      hint: "Remove what is in it first, or everything at once with `coffer rm -r`.",
    });
  return [{ op: "remove", path: names.map(toBytes) }];
}

export async function remove(
  parts: RepositoryParts,
  path: string,
  options: { recursive: boolean },
): Promise<Operation[]> {
  const names = parseRemotePath(path);
  const entry = await parts.require(path);
  if (names.length === 0) throw new Refusal("usage", "the root cannot be removed");
  if (entry.type === EntryType.directory && !options.recursive)
    throw new Refusal("wrongKind", `${formatRemotePath(names)} is a folder`, {
      hint: "Remove it with everything in it with `coffer rm -r`, or with `coffer rmdir` when it is empty.",
    });
  return [{ op: "remove", path: names.map(toBytes) }];
}

/** As mv: into `to` when it is a folder, else to that name; a file replaces a file. */
export async function move(parts: RepositoryParts, from: string, to: string): Promise<Operation[]> {
  const source = parseRemotePath(from);
  const name = source.at(-1);
  const node = await parts.require(from);
  if (name === undefined) throw new Refusal("usage", "the root cannot be moved");
  let target = parseRemotePath(to);
  if ((await parts.find(target))?.type === EntryType.directory) target = [...target, name];
  if (formatRemotePath(target) === formatRemotePath(source)) return [];
  if (target.length > source.length && source.every((part, i) => part === target[i]))
    throw new Refusal("wrongKind", `${formatRemotePath(source)} cannot be moved into itself`);
  await parts.requireFolder(target.slice(0, -1));
  const present = await parts.find(target);
  const isLeafOverLeaf = present?.type !== EntryType.directory && node.type !== EntryType.directory;
  if (present && !isLeafOverLeaf)
    throw new Refusal("nameCollision", `${formatRemotePath(target)} already exists`, {
      hint: "Remove it first, or choose another name.",
    });
  return [{ op: "move", from: source.map(toBytes), to: target.map(toBytes) }];
}
