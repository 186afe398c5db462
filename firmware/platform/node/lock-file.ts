// SPDX-License-Identifier: MIT
/**
 * One process at a time on a folder. The lock names its owner by process id and, where /proc tells it, start time, so
 * that a number that was given out again is not taken for the owner. A lock whose owner is gone is taken over.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

export class LockedError extends Error {
  override readonly name = "LockedError";
  constructor(path: string, owner: string) {
    super(`${path} is held by process ${owner}`);
  }
}

/** Returns what gives the lock back. Throws LockedError while another process lives. */
export function takeLock(path: string): () => void {
  const mine = `${String(process.pid)} ${startTime(process.pid)}\n`;
  const draft = `${path}.${String(process.pid)}`;
  for (let attempt = 0; ; attempt++) {
    writeFileSync(draft, mine, { mode: 0o600 });
    try {
      // Appears with its content in one step: nobody reads a lock that is half written.
      linkSync(draft, path);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const found = read(path);
      if (found !== undefined && (isAlive(found) || attempt === 10))
        throw new LockedError(path, found.trim());
      if (found !== undefined) removeStale(path, found);
    } finally {
      rmSync(draft, { force: true });
    }
  }
  return () => {
    if (read(path) === mine) rmSync(path, { force: true });
  };
}

/** Moves it away first: of two that take over at once only one gets it, and one that got a fresh lock puts it back. */
function removeStale(path: string, stale: string): void {
  const aside = `${path}.stale.${String(process.pid)}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  try {
    if (read(aside) !== stale) linkSync(aside, path);
  } catch {
    // Somebody has made a new one meanwhile.
  }
  rmSync(aside, { force: true });
}

function isAlive(owner: string): boolean {
  const [pid, started] = owner.trim().split(" ");
  const number = Number(pid);
  if (!Number.isInteger(number) || number < 1) return false;
  try {
    process.kill(number, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return started === undefined || started === "" || startTime(number) === started;
}

/** Field 22 of /proc/PID/stat; "" where there is none. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
