// SPDX-License-Identifier: MIT
/** Compares two local files or folders whole: types, names, bytes, modes, times and targets of links. */

import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir, readlink } from "node:fs/promises";
import { printable } from "../render";

export interface TreeComparison {
  files: number;
  folders: number;
  links: number;
  bytes: number;
  /** Sentences, at most `maxDifferences`. */
  differences: string[];
}

const maxDifferences = 20;
const blockBytes = 1024 * 1024;

/** Raw bytes as paths: a name need not be UTF-8. Follows no link and opens nothing but regular files. */
export async function compareTrees(left: string, right: string): Promise<TreeComparison> {
  const comparison: TreeComparison = { files: 0, folders: 0, links: 0, bytes: 0, differences: [] };
  const blocks = [Buffer.alloc(blockBytes), Buffer.alloc(blockBytes)] as const;
  await compare(Buffer.from(left), Buffer.from(right), comparison, blocks);
  return comparison;
}

type Blocks = readonly [Buffer, Buffer];

async function compare(
  left: Buffer,
  right: Buffer,
  comparison: TreeComparison,
  blocks: Blocks,
): Promise<void> {
  const { differences } = comparison;
  const differ = (what: string): void => {
    if (differences.length < maxDifferences) differences.push(`${printable(left.toString())}: ${what}`);
  };
  const [a, b] = await Promise.all([stats(left), stats(right)]);
  if (a === undefined || b === undefined) {
    if (a !== b) differ(a === undefined ? "is only in the copy" : "is missing in the copy");
    return;
  }
  if ((a.mode & BigInt(constants.S_IFMT)) !== (b.mode & BigInt(constants.S_IFMT))) {
    differ("is of another kind in the copy");
    return;
  }
  if (a.isSymbolicLink()) {
    comparison.links += 1;
    const [one, other] = await Promise.all([targetOf(left), targetOf(right)]);
    if (!one.equals(other)) differ("points elsewhere in the copy");
    return;
  }
  if (a.mode !== b.mode) differ(`has mode ${octal(a.mode)}, the copy ${octal(b.mode)}`);
  if (!areSameTime(a.mtimeNs, b.mtimeNs))
    differ(`has another time in the copy, ${String(b.mtimeNs - a.mtimeNs)} ns later`);
  if (a.isDirectory()) {
    comparison.folders += 1;
    for (const name of await namesInEither(left, right)) {
      const [one, other] = [join(left, name), join(right, name)];
      await compare(one, other, comparison, blocks);
    }
  } else if (a.isFile()) {
    comparison.files += 1;
    comparison.bytes += Number(a.size);
    if (a.size !== b.size) differ(`has ${String(a.size)} bytes, the copy ${String(b.size)}`);
    else if (!(await areEqual(left, right, blocks))) differ("has other bytes in the copy");
  }
}

/** Node sets times as floating-point seconds, cut off to the microsecond. */
function areSameTime(one: bigint, other: bigint): boolean {
  const differenceNs = one - other;
  return differenceNs > -2000n && differenceNs < 2000n;
}

function octal(mode: bigint): string {
  return (mode & 0o7777n).toString(8);
}

function join(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, Buffer.from("/"), name]);
}

async function stats(path: Buffer) {
  return lstat(path, { bigint: true }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  });
}

function targetOf(path: Buffer): Promise<Buffer> {
  return readlink(path, { encoding: "buffer" });
}

async function namesInEither(left: Buffer, right: Buffer): Promise<Buffer[]> {
  const names = new Map<string, Buffer>();
  for (const folder of [left, right])
    for (const name of await readdir(folder, { encoding: "buffer" }))
      names.set(name.toString("latin1"), name);
  return [...names.keys()].sort().map((key) => Buffer.from(key, "latin1"));
}

async function areEqual(left: Buffer, right: Buffer, [one, other]: Blocks): Promise<boolean> {
  const files = [await open(left), await open(right)] as const;
  try {
    for (let position = 0; ;) {
      const [a, b] = await Promise.all([fill(files[0], one, position), fill(files[1], other, position)]);
      if (!one.subarray(0, a).equals(other.subarray(0, b))) return false;
      if (a < blockBytes) return true;
      position += a;
    }
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

/** As many bytes as there are, up to the whole block: one read may give fewer. */
async function fill(file: FileHandle, block: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < block.length) {
    const { bytesRead } = await file.read(block, filled, block.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
