// SPDX-License-Identifier: MIT
/** The versions in which something at one path changed, looked up several versions at a time. */

import { Refusal } from "../refusal";
import type { ByteString } from "./byte-names";
import type { Version } from "./history";
import type { TreeEntry } from "./tree";
import type { TreeStore } from "./tree-store";

/** Each may cost as many round trips as the path has names. */
const PARALLEL = 16;

/** Equal when what is there is the same: "nothing", "unreadable", or what `describe` makes of an entry. */
type Found = string;

/**
 * `versions` are newest first. Each is held against the newest one before it that its writer had seen: what another computer
 * wrote at the same time is no change of this one.
 */
export async function* versionsThatChanged(options: {
  versions: readonly Version[];
  path: readonly ByteString[];
  trees: TreeStore;
  onWarning: (text: string) => void;
}): AsyncGenerator<Version> {
  const { versions, path, trees, onWarning } = options;
  const found = new Map<Version, Promise<Found>>();
  const look = async (version: Version): Promise<Found> => {
    try {
      return describe(await trees.find(version.root, path));
    } catch (error) {
      if (!(error instanceof Refusal) || (error.kind !== "missingBlob" && error.kind !== "corruptedBlob"))
        throw error;
      onWarning(`version ${version.id.slice(0, 8)} cannot be looked into: ${error.message}`);
      return "unreadable";
    }
  };
  const find = (version: Version): Promise<Found> => {
    let entry = found.get(version);
    if (!entry) {
      entry = look(version);
      found.set(version, entry);
    }
    return entry;
  };
  for (let from = 0; from < versions.length; from += PARALLEL) {
    const answers = versions.slice(from, from + PARALLEL).map(async (version, at) => {
      const before = versionBefore(versions, from + at);
      if (before && Buffer.compare(before.body.root, version.body.root) === 0) return false;
      const [then, now] = await Promise.all([before ? find(before) : "nothing", find(version)]);
      return then !== now && then !== "unreadable" && now !== "unreadable";
    });
    for (const [at, isChanged] of (await Promise.all(answers)).entries()) {
      const version = versions[from + at];
      if (isChanged && version) yield version;
    }
  }
}

function versionBefore(versions: readonly Version[], at: number): Version | undefined {
  const version = versions[at];
  if (!version) return undefined;
  const { body } = version;
  const seen = new Map(version.seen.map(({ writer, count }) => [hex(writer), count]));
  seen.set(hex(body.writer), body.sequence);
  for (let older = at + 1; older < versions.length; older++) {
    const other = versions[older];
    if (other && other.body.sequence < (seen.get(hex(other.body.writer)) ?? 0)) return other;
  }
  return undefined;
}

/** What is compared. A string of its own: the entry would keep the whole folder that it was read from in memory. */
function describe(entry: TreeEntry | undefined): Found {
  if (!entry) return "nothing";
  const content = Buffer.from(entry.content).toString("hex");
  return `${String(entry.type)} ${String(entry.mode)} ${content} ${entry.target}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
