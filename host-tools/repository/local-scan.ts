// SPDX-License-Identifier: MIT
/**
 * Walks local files and folders, each folder's entries in the order of their names' bytes, and runs ahead of whoever
 * takes them while there is nothing better to do: so totals are known early, and memory stays bounded.
 */

import { readdirSync, readlinkSync } from "node:fs";
import { type ByteString, toBytes } from "./byte-names";
import { type LocalStat, statLocal } from "./local-stat";

export type ScanEvent =
  | {
      event: "file" | "symlink" | "other";
      path: ByteString;
      name: ByteString;
      stat: LocalStat;
      target: ByteString;
    }
  /** Everything until the matching `leave` is in this folder. */
  | { event: "enter" | "leave"; path: ByteString; name: ByteString; stat: LocalStat }
  | { event: "problem"; path: ByteString; name: ByteString; error: Error };

interface Folder {
  path: ByteString;
  name: ByteString;
  stat: LocalStat;
  names: ByteString[];
  next: number;
}

/** Events that may wait: about 1 MiB. */
const MAX_AHEAD = 2048;
const SLICE_MS = 3;
const MAX_SCAN_DEPTH = 200;

export class LocalScan {
  files = 0;
  bytes = 0;
  isComplete = false;
  readonly #stack: Folder[] = [];
  readonly #ahead: ScanEvent[] = [];
  #taken = 0;
  #timer: NodeJS.Immediate | undefined;
  readonly #roots: { path: ByteString; name: ByteString }[];

  /** `roots` are absolute paths and the names that they get. */
  constructor(roots: readonly { path: ByteString; name: ByteString }[]) {
    this.#roots = [...roots];
    this.#timer = setImmediate(this.#runAhead);
  }

  next(): ScanEvent | undefined {
    if (this.#taken < this.#ahead.length) {
      const event = this.#ahead[this.#taken++];
      if (this.#taken === this.#ahead.length) {
        this.#ahead.length = 0;
        this.#taken = 0;
      }
      if (!this.#timer && !this.isComplete) this.#timer = setImmediate(this.#runAhead);
      return event;
    }
    return this.#scan();
  }

  close(): void {
    clearImmediate(this.#timer);
    this.#roots.length = 0;
    this.#stack.length = 0;
    this.isComplete = true;
  }

  readonly #runAhead = (): void => {
    this.#timer = undefined;
    const endMs = performance.now() + SLICE_MS;
    while (this.#ahead.length - this.#taken < MAX_AHEAD) {
      const event = this.#scan();
      if (!event) return;
      this.#ahead.push(event);
      if (performance.now() > endMs) {
        this.#timer = setImmediate(this.#runAhead);
        return;
      }
    }
    if (this.#taken > 0) {
      this.#ahead.splice(0, this.#taken);
      this.#taken = 0;
    }
  };

  #scan(): ScanEvent | undefined {
    const folder = this.#stack.at(-1);
    if (!folder) {
      const root = this.#roots.shift();
      if (root) return this.#visit(root.path, root.name);
      this.isComplete = true;
      return undefined;
    }
    const name = folder.names[folder.next++];
    if (name !== undefined) return this.#visit(`${folder.path === "/" ? "" : folder.path}/${name}`, name);
    this.#stack.pop();
    return { event: "leave", path: folder.path, name: folder.name, stat: folder.stat };
  }

  #visit(path: ByteString, name: ByteString): ScanEvent {
    try {
      const stat = statLocal(path);
      switch (stat.type) {
        case "directory": {
          if (this.#stack.length >= MAX_SCAN_DEPTH)
            throw new Error(`more than ${String(MAX_SCAN_DEPTH)} folders deep`);
          const names = readdirSync(toBytes(path), { encoding: "latin1" }).sort(byBytes);
          this.#stack.push({ path, name, stat, names, next: 0 });
          return { event: "enter", path, name, stat };
        }
        case "symlink":
          return {
            event: "symlink",
            path,
            name,
            stat,
            target: readlinkSync(toBytes(path), { encoding: "latin1" }),
          };
        case "file":
          this.files++;
          this.bytes += stat.sizeBytes;
          return { event: "file", path, name, stat, target: "" };
        default:
          return { event: "other", path, name, stat, target: "" };
      }
    } catch (error) {
      return { event: "problem", path, name, error: error as Error };
    }
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
