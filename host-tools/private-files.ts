// SPDX-License-Identifier: MIT
/**
 * Files that only their owner may read (0600, in folders of 0700), replaced whole or not at all: a new file is
 * written beside the old one, forced to the disk and renamed over it, then the folder is forced too.
 */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Refusal, fromFileError } from "./refusal";

/** Makes a folder and those above it that are missing, each readable by its owner only. */
export async function makePrivateFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fromFileError(error, `cannot make the folder ${folder}`);
  }
}

export interface WriteOptions {
  /** Fails with `alreadyExists` instead of replacing. */
  exclusive?: boolean;
  /** 0600 unless told otherwise. */
  mode?: number;
}

/** Writes `bytes` to `path` so that a reader, or a crash, sees either the old file or the new one. */
export async function writePrivateFile(
  path: string,
  bytes: string | Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  const folder = dirname(path);
  await makePrivateFolder(folder);
  if (options.exclusive === true && (await exists(path)))
    throw new Refusal("alreadyExists", `${path} already exists`);
  const temporary = join(folder, `.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx", options.mode ?? 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true });
    throw fromFileError(error, `cannot write ${path}`);
  }
}

/** Forces a folder's entries to the disk. Windows cannot open a folder and does not need it. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The file's text, or undefined when there is no such file. At once: a thread would be asked four times for a small file. */
export function readIfPresent(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    resolve(readNow(path));
  });
}

function readNow(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fromFileError(error, `cannot read ${path}`);
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    const handle = await open(path, "r");
    await handle.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw fromFileError(error, `cannot read ${path}`);
  }
}
