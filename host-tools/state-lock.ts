// SPDX-License-Identifier: MIT
/**
 * One writer at a time in the state folder: two commands that revoke at once must not lose one revocation. The lock
 * is a file that names the process holding it; one left behind by a process that is gone is taken over.
 */

import { randomBytes } from "node:crypto";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { makePrivateFolder } from "./private-files";
import { Refusal, fromFileError } from "./refusal";
import type { State } from "./state";

const patienceMs = 10_000;
const pollMs = 50;

/** Runs `work` while no other Coffer process is inside `withStateLock` of the same state folder. */
export async function withStateLock<Result>(state: State, work: () => Promise<Result>): Promise<Result> {
  const path = join(state.home, "lock");
  await makePrivateFolder(state.home);
  await take(path);
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<void> {
  const endMs = Date.now() + patienceMs;
  for (;;) {
    if (await tryTake(path)) return;
    if (await isAbandoned(path)) await removeAbandoned(path);
    else if (Date.now() > endMs)
      throw new Refusal("localIo", "another coffer command is changing the state folder", {
        hint: `Wait for it to end; if there is none, remove ${path}.`,
      });
    else await delay(pollMs);
  }
}

/**
 * Of those who find the lock abandoned one at a time looks again and removes it. Without that, one could remove the lock
 * that another has just taken over.
 */
async function removeAbandoned(path: string): Promise<void> {
  const guard = `${path}.takeover`;
  if (await tryTake(guard)) {
    try {
      if (await isAbandoned(path)) await rm(path, { force: true });
    } finally {
      await rm(guard, { force: true });
    }
    return;
  }
  if (await isAbandoned(guard)) await rm(guard, { force: true });
  await delay(pollMs);
}

/** The lock appears with its owner's number in it, or not at all: a process may be killed between any two steps. */
async function tryTake(path: string): Promise<boolean> {
  const draft = `${path}.${String(process.pid)}-${randomBytes(4).toString("hex")}`;
  try {
    await writeFile(draft, `${String(process.pid)}\n`, { flag: "wx", mode: 0o600 });
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw fromFileError(error, `cannot lock ${path}`);
  } finally {
    await rm(draft, { force: true });
  }
}

/** One without a number was written by nobody who could still hold it. */
async function isAbandoned(path: string): Promise<boolean> {
  let pid: number;
  try {
    pid = Number.parseInt(await readFile(path, "utf8"), 10);
  } catch {
    return false;
  }
  if (!Number.isInteger(pid)) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
