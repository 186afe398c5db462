// SPDX-License-Identifier: MIT
/**
 * File systems that take two names for one: most of Windows and macOS do not tell "A" from "a", and macOS not "é" from
 * "e" with an accent behind it. What a folder does is tried out, not guessed from the system.
 */

import { randomBytes } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ByteString, toBytes, toText } from "./byte-names";
import type { TreeEntry } from "./tree";

export interface NameFolding {
  case: boolean;
  normalForm: boolean;
}

/** What the file system of `folder` does with names. One that cannot be written to tells everything apart. */
export function probeNameFolding(folder: ByteString): NameFolding {
  const isFolded = (name: string, other: string): boolean => {
    const unique = `.coffer-${randomBytes(8).toString("hex")}-`;
    const path = join(toText(folder), `${unique}${name}`);
    try {
      writeFileSync(path, "", { flag: "wx", mode: 0o600 });
      return existsSync(join(toText(folder), `${unique}${other}`));
    } catch {
      return false;
    } finally {
      rmSync(path, { force: true });
    }
  };
  return { case: isFolded("a", "A"), normalForm: isFolded("\u00e9", "e\u0301") };
}

/**
 * Entries of a folder whose names such a file system takes for that of an entry before them, and that entry. `probe` is
 * asked only when there are any at all.
 */
export function indistinguishable(
  entries: readonly TreeEntry[],
  probe: () => NameFolding,
): Map<TreeEntry, TreeEntry> {
  const clashes = (folding: NameFolding): Map<TreeEntry, TreeEntry> => {
    const first = new Map<string, TreeEntry>();
    const found = new Map<TreeEntry, TreeEntry>();
    for (const entry of entries) {
      const name = folded(entry.name, folding);
      const other = first.get(name);
      if (other) found.set(entry, other);
      else first.set(name, entry);
    }
    return found;
  };
  const possible = clashes({ case: true, normalForm: true });
  if (possible.size === 0) return possible;
  const folding = probe();
  return folding.case || folding.normalForm ? clashes(folding) : new Map<TreeEntry, TreeEntry>();
}

function folded(name: ByteString, folding: NameFolding): string {
  const isAscii = toBytes(name).every((byte) => byte < 0x80);
  let text = isAscii ? name : toText(name);
  if (folding.normalForm && !isAscii) text = text.normalize("NFC");
  // Upper case first: "ß" and "ss", or the three sigmas, then meet, as they do in such file systems' tables.
  return folding.case ? text.toUpperCase().toLowerCase() : text;
}
