// SPDX-License-Identifier: MIT
/** How versions and differences between them are shown. */

import { formatBytes, printable } from "../render";
import type { NodeChange, RemoteNode, VersionChange, VersionInfo } from "../repository/repository";
import { formatTime, nodeRecord } from "./node-format";

const words: Readonly<Record<VersionChange["change"], string>> = {
  put: "put",
  mkdir: "made",
  remove: "removed",
  move: "moved",
  restore: "restored",
};
/** Paths of one kind that are named before the rest is counted. */
const MAX_NAMED = 2;

/** Local time, to the minute. */
export function formatMoment(timeMs: number): string {
  return formatTime(BigInt(timeMs) * 1_000_000n);
}

/** "put /docs, /photos and 3 more; removed /old". */
export function summarise({ changes, changeCount }: VersionInfo): string {
  const groups = new Map<string, string[]>();
  for (const { change, path, to } of changes) {
    const text = printable(to === undefined ? path : `${path} to ${to}`);
    groups.set(words[change], [...(groups.get(words[change]) ?? []), text]);
  }
  const parts = [...groups].map(([word, paths]) => {
    const rest = paths.length - MAX_NAMED;
    const named = paths.slice(0, MAX_NAMED).join(", ");
    return `${word} ${named}${rest > 0 ? ` and ${String(rest)} more` : ""}`;
  });
  const untold = changeCount - changes.length;
  if (untold > 0) parts.push(`${String(untold)} more changes`);
  return parts.length > 0 ? parts.join("; ") : "cannot be read now";
}

/** The cells of one line of `coffer log`: id, date, computer, size, what changed, tags. */
export function versionCells(version: VersionInfo): string[] {
  const { shortId, timeMs, writer, sizeBytes, tags } = version;
  const tagged = tags.length > 0 ? `  [${tags.join(", ")}]` : "";
  return [
    shortId,
    formatMoment(timeMs),
    printable(writer),
    formatBytes(sizeBytes),
    summarise(version) + tagged,
  ];
}

export function versionRecord({ timeMs, ...version }: VersionInfo): object {
  return { ...version, time: new Date(timeMs).toISOString() };
}

const marks: Readonly<Record<NodeChange["change"], string>> = {
  added: "+",
  removed: "-",
  modified: "M",
  type: "T",
  mode: "P",
};

export function changeLine({ path, change, before, after }: NodeChange): string {
  const isFolder = (after ?? before)?.type === "directory";
  const name = `${marks[change]}  ${printable(path)}${isFolder && path !== "/" ? "/" : ""}`;
  const detail = change === "mode" ? [before, after].map(modeOf) : [before, after].map(sizeOf);
  const told = detail.filter((text) => text !== "").join(" -> ");
  return told === "" ? name : `${name}  (${told})`;
}

export function changeRecord({ path, change, before, after }: NodeChange): object {
  return {
    path,
    change,
    ...(before ? { before: nodeRecord(before, path) } : {}),
    ...(after ? { after: nodeRecord(after, path) } : {}),
  };
}

function sizeOf(node: RemoteNode | undefined): string {
  if (!node || node.type === "directory") return "";
  return node.target === undefined ? formatBytes(node.sizeBytes) : `link to ${printable(node.target)}`;
}

function modeOf(node: RemoteNode | undefined): string {
  return node ? node.mode.toString(8).padStart(4, "0") : "";
}
