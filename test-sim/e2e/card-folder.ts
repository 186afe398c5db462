// SPDX-License-Identifier: MIT
/** The card of a host node as somebody sees it who has it in hands: a folder of files. */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join, sep } from "node:path";

/** Every stored blob's file, the largest first. */
export async function blobFiles(card: string): Promise<{ path: string; sizeBytes: number }[]> {
  const found = await readdir(card, { recursive: true, withFileTypes: true });
  const paths = found
    .filter((entry) => entry.isFile() && entry.parentPath.split(sep).includes("blobs"))
    .map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(
    paths.map(async (path) => ({ path, sizeBytes: (await readFile(path)).length })),
  );
  return files.sort((a, b) => b.sizeBytes - a.sizeBytes);
}

/** Changes one bit of a file in place. */
export async function flipBit(path: string, position: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[position] = (bytes[position] ?? 0) ^ 0x10;
  await writeFile(path, bytes);
}

export async function swapFiles(one: string, other: string): Promise<void> {
  const [a, b] = await Promise.all([readFile(one), readFile(other)]);
  await Promise.all([writeFile(one, b), writeFile(other, a)]);
}
