// SPDX-License-Identifier: MIT
/** What the local system says about a file, in plain numbers, to the nanosecond. */

import { type BigIntStats, constants, fstatSync, lstatSync } from "node:fs";
import { type ByteString, toBytes } from "./byte-names";
import type { TreeEntry } from "./tree";

export type LocalType = "file" | "directory" | "symlink" | "other";

export interface LocalStat {
  type: LocalType;
  mode: number;
  sizeBytes: number;
  mtimeSeconds: number;
  mtimeNanos: number;
  ctimeSeconds: number;
  ctimeNanos: number;
  inode: number;
  device: number;
}

const NANOS = 1_000_000_000n;

/** Does not follow a symbolic link. Throws what Node throws. */
export function statLocal(path: ByteString): LocalStat {
  return convert(lstatSync(toBytes(path), { bigint: true }));
}

export function statOpenFile(file: number): LocalStat {
  return convert(fstatSync(file, { bigint: true }));
}

/** Nothing that a change of the content would leave as it was. The device's number is not in it: it may differ after a reboot. */
export function fileKey(stat: LocalStat): string {
  const { inode, sizeBytes, mtimeSeconds, mtimeNanos, ctimeSeconds, ctimeNanos } = stat;
  return `${String(inode)} ${String(sizeBytes)} ${String(mtimeSeconds)}.${String(mtimeNanos)} ${String(ctimeSeconds)}.${String(ctimeNanos)}`;
}

export function isUnchanged(entry: TreeEntry, stat: LocalStat): boolean {
  return (
    entry.sizeBytes === stat.sizeBytes &&
    entry.mtimeNanos === stat.mtimeNanos &&
    entry.mtimeSeconds === stat.mtimeSeconds &&
    entry.ctimeNanos === stat.ctimeNanos &&
    entry.ctimeSeconds === stat.ctimeSeconds &&
    entry.inode === stat.inode &&
    entry.inode !== 0
  );
}

const TYPES: ReadonlyMap<number, LocalType> = new Map([
  [constants.S_IFREG, "file"],
  [constants.S_IFDIR, "directory"],
  [constants.S_IFLNK, "symlink"],
]);

function convert(stats: BigIntStats): LocalStat {
  const mode = Number(stats.mode);
  return {
    type: TYPES.get(mode & constants.S_IFMT) ?? "other",
    mode: mode & 0o7777,
    sizeBytes: Number(stats.size),
    mtimeSeconds: seconds(stats.mtimeNs),
    mtimeNanos: nanos(stats.mtimeNs),
    ctimeSeconds: seconds(stats.ctimeNs),
    ctimeNanos: nanos(stats.ctimeNs),
    inode: Number(BigInt.asUintN(53, stats.ino)),
    device: Number(BigInt.asUintN(53, stats.dev)),
  };
}

/** Rounded down, so that what is left is never negative. */
function seconds(ns: bigint): number {
  return Number((ns >= 0n ? ns : ns - NANOS + 1n) / NANOS);
}

function nanos(ns: bigint): number {
  const rest = Number(ns % NANOS);
  return rest >= 0 ? rest : rest + Number(NANOS);
}
