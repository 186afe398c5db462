// SPDX-License-Identifier: MIT
/** How a remote file, folder or link is shown: a line like that of `ls -l`, and an exact record for `--json`. */

import { formatBytes, printable } from "../render";
import type { NodeType, RemoteNode } from "../repository/repository";

const typeLetters: Readonly<Record<NodeType, string>> = { file: "-", directory: "d", symlink: "l" };

/** 0o755 of a folder gives "drwxr-xr-x", set-id and sticky bits as ls shows them. */
export function formatMode(type: NodeType, mode: number): string {
  const letters = Array.from("rwxrwxrwx", (letter, index) =>
    (mode & (0o400 >> index)) === 0 ? "-" : letter,
  );
  const special: readonly (readonly [number, number, string])[] = [
    [0o4000, 2, "s"],
    [0o2000, 5, "s"],
    [0o1000, 8, "t"],
  ];
  for (const [bit, at, letter] of special)
    if ((mode & bit) !== 0) letters[at] = letters[at] === "x" ? letter : letter.toUpperCase();
  return typeLetters[type] + letters.join("");
}

/** Local time, to the minute: "2026-11-21 07:56". */
export function formatTime(mtimeNs: bigint): string {
  const time = dateOf(mtimeNs);
  const pad = (value: number): string => String(value).padStart(2, "0");
  const day = `${String(time.getFullYear())}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
  return `${day} ${pad(time.getHours())}:${pad(time.getMinutes())}`;
}

/** ISO 8601 in UTC with all nine digits of the nanoseconds. */
export function isoTime(mtimeNs: bigint): string {
  const nanoseconds = ((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return dateOf(mtimeNs)
    .toISOString()
    .replace(/\d{3}Z$/, `${String(nanoseconds).padStart(9, "0")}Z`);
}

/** Rounded down; times that no calendar has become its edges. */
function dateOf(mtimeNs: bigint): Date {
  const milliseconds = mtimeNs / 1_000_000n - (mtimeNs % 1_000_000n < 0n ? 1n : 0n);
  const limit = 8_640_000_000_000_000;
  return new Date(Math.min(limit, Math.max(-limit, Number(milliseconds))));
}

/** The cells of one line of `ls -l`; the last is name and target. */
export function longCells(node: RemoteNode, name: string): readonly [string, string, string, string] {
  const target = node.target === undefined ? "" : ` -> ${printable(node.target)}`;
  return [
    formatMode(node.type, node.mode),
    formatBytes(node.sizeBytes),
    formatTime(node.mtimeNs),
    printable(name) + target,
  ];
}

export function longLines(nodes: readonly { node: RemoteNode; name: string }[]): string[] {
  const rows = nodes.map(({ node, name }) => longCells(node, name));
  const width = Math.max(0, ...rows.map(([, size]) => size.length));
  return rows.map(([mode, size, time, name]) => `${mode}  ${size.padStart(width)}  ${time}  ${name}`);
}

/** Names in columns, filled downwards as ls does, as many columns as fit into `width`. */
export function inColumns(names: readonly string[], width: number): string[] {
  const gap = 2;
  for (let columns = Math.min(names.length, Math.floor(width / (gap + 1))); columns > 1; columns -= 1) {
    const rows = Math.ceil(names.length / columns);
    const used = Math.ceil(names.length / rows);
    const widths = Array.from({ length: used }, (_, column) =>
      Math.max(...names.slice(column * rows, (column + 1) * rows).map(({ length }) => length)),
    );
    if (widths.reduce((sum, value) => sum + value + gap, -gap) > width) continue;
    return Array.from({ length: rows }, (_, row) =>
      widths
        .map((columnWidth, column) => (names[column * rows + row] ?? "").padEnd(columnWidth + gap))
        .join("")
        .trimEnd(),
    );
  }
  return [...names];
}

/** Exact, for scripts: nothing is escaped but what JSON escapes. */
export function nodeRecord(node: RemoteNode, path: string): object {
  const { name, type, mode, mtimeNs, sizeBytes, entries, target, contentId } = node;
  return {
    path,
    name,
    type,
    sizeBytes,
    mode: mode.toString(8).padStart(4, "0"),
    mtime: isoTime(mtimeNs),
    ...(type === "directory" ? { entries } : {}),
    ...(target === undefined ? {} : { target }),
    contentId,
  };
}
