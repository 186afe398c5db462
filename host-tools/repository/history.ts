// SPDX-License-Identifier: MIT
/**
 * The versions of the repository: every entry that changed something, with the state it led to. A version's id is the
 * hash of its entry, so it names the same state on every computer. Tags and what was forgotten follow from all entries in
 * the merged order, so they are the same on every computer, too. docs/repository.md "Versions".
 */

import { Refusal } from "../refusal";
import {
  type EntryBody,
  type EntryDetail,
  type Operation,
  type SeenHead,
  isTreeOperation,
} from "./log-entry";
import type { Checkpoint, Checkpoints } from "./checkpoints";
import type { LogBook } from "./log-book";
import { compareOrder } from "./entry-order";
import type { MergedState } from "./merged-state";
import { type TreeEntry, decodeEntry } from "./tree";
import { parseVersionTime } from "./version-time";

/** Details that are not in their entries are fetched so many at a time. */
const PARALLEL = 8;
const MIN_ID_DIGITS = 4;
const SHOWN_ID_DIGITS = 8;
const idPrefix = new RegExp(`^[0-9a-f]{${String(MIN_ID_DIGITS)},64}$`);

export interface Version {
  /** 64 hexadecimal digits. */
  id: string;
  body: EntryBody;
  /** The state as its writer knew it. */
  root: TreeEntry;
  /** Name of the computer that wrote it. */
  writer: string;
  /** Those on the tree; none when the entry's detail cannot be read now. */
  operations: readonly Operation[];
  seen: readonly SeenHead[];
}

/** What entries say of versions. */
interface Names {
  /** From name to the id of a version. */
  tags: Map<string, string>;
  /** Ids that some entry forgets, also where a tag holds them. */
  doomed: Set<string>;
}

interface Known {
  checkpoint: Checkpoint | undefined;
  /** Of all logs together, when this was computed. They only grow. */
  entries: number;
  /** Newest first, also forgotten ones. */
  all: Version[];
  /** Entries that no checkpoint stands for, oldest first, with what they say. */
  speaking: { body: EntryBody; operations: readonly Operation[] }[];
  tags: ReadonlyMap<string, string>;
  forgotten: ReadonlySet<string>;
  unreadable: number;
}

/** What a checkpoint tells of versions: everything that the entries it stands for say, newest first. */
export interface Standing {
  versions: Version[];
  tags: ReadonlyMap<string, string>;
  /** Of the versions those that only a tag holds. */
  held: string[];
}

export class History {
  readonly #logs: LogBook;
  readonly #state: MergedState;
  readonly #checkpoints: Pick<Checkpoints, "current">;
  readonly #onWarning: (text: string) => void;
  #known: Known | undefined;

  constructor(options: {
    logs: LogBook;
    state: MergedState;
    checkpoints: Pick<Checkpoints, "current">;
    onWarning: (text: string) => void;
  }) {
    this.#logs = options.logs;
    this.#checkpoints = options.checkpoints;
    this.#state = options.state;
    this.#onWarning = options.onWarning;
  }

  /** All that were not forgotten, newest first. */
  async kept(): Promise<Version[]> {
    const { all, forgotten } = await this.#load();
    return all.filter(({ id }) => !forgotten.has(id));
  }

  /** From name to the id of a version. */
  async tags(): Promise<ReadonlyMap<string, string>> {
    return (await this.#load()).tags;
  }

  /**
   * As the entries that are covered leave it: what others say has its effect on top, whoever reads it. So a version that
   * one of those forgets is in it, because a tag that is not known yet may hold it.
   */
  async standing(isCovered: (body: EntryBody) => boolean): Promise<Standing> {
    const { all, speaking, tags: tagsNow, checkpoint } = await this.#load();
    const { tags, doomed } = namesAfter(
      checkpoint,
      speaking.filter(({ body }) => isCovered(body)),
    );
    const held = new Set([...tags.values(), ...tagsNow.values()]);
    const versions = all.filter(({ id, body }) => isCovered(body) && (!doomed.has(id) || held.has(id)));
    return { versions, tags, held: versions.map(({ id }) => id).filter((id) => doomed.has(id)) };
  }

  /** Ids of the newest version and of the last one of each computer. */
  async current(): Promise<ReadonlySet<string>> {
    const { all } = await this.#load();
    const current = new Map<string, string>();
    for (const { id, body } of all) {
      const writer = hex(body.writer);
      if (!current.has(writer)) current.set(writer, id);
    }
    return new Set(current.values());
  }

  /** Refuses while an entry cannot be read: it may hold tags. */
  async requireComplete(): Promise<void> {
    const { unreadable } = await this.#load();
    if (unreadable > 0)
      throw new Refusal(
        "missingBlob",
        `what ${String(unreadable)} of the log entries say cannot be read now, and they may hold tags`,
        { hint: "Name another device that the repository is stored on with --device, too." },
      );
  }

  /** The version that `spec` names: the beginning of an id, a tag, "latest", or a time. */
  async find(spec: string, now = new Date()): Promise<Version> {
    const { all, tags, forgotten } = await this.#load();
    const kept = all.filter(({ id }) => !forgotten.has(id));
    const [latest] = kept;
    if (!latest) throw unknown("the repository has no versions yet", "The first push makes one.");
    if (spec === "latest") return latest;
    const tagged = tags.get(spec);
    if (tagged !== undefined) {
      const version = all.find(({ id }) => id === tagged);
      if (version) return version;
      throw unknown(
        `the version with the tag ${spec} is on none of the devices asked`,
        "Name another device that the repository is stored on with --device.",
      );
    }
    const start = spec.toLowerCase();
    if (idPrefix.test(start)) return this.#byId(start, all, forgotten);
    const timeMs = parseVersionTime(spec, now);
    if (timeMs === undefined)
      throw unknown(
        `${JSON.stringify(spec)} is neither a version, nor a tag, nor a time`,
        'See what there is with `coffer log`. Times are like "2026-11-21", "2026-11-21 14:30" or "3 days ago".',
      );
    const version = kept.find(({ body }) => body.timeMs <= timeMs);
    if (version) return version;
    throw unknown(
      `there is no version from ${new Date(timeMs).toISOString()} or before`,
      "See what there is with `coffer log`.",
    );
  }

  #byId(start: string, all: readonly Version[], forgotten: ReadonlySet<string>): Version {
    const [version, ...others] = all.filter(({ id }) => id.startsWith(start));
    if (!version) throw unknown(`there is no version ${start}`, "See what there is with `coffer log`.");
    if (others.length > 0)
      throw unknown(
        `${start} is ambiguous: ${String(others.length + 1)} versions begin with it`,
        "Give more digits of the id; `coffer log` shows enough of them.",
      );
    if (forgotten.has(version.id))
      throw unknown(`the version ${start} was forgotten`, "See what is kept with `coffer log`.");
    return version;
  }

  /** Eight digits of each id, or as many more as tell it from all others. */
  async shortIds(): Promise<ReadonlyMap<string, string>> {
    const ids = (await this.#load()).all.map(({ id }) => id).sort();
    const alike = (a: string, b: string | undefined): number => {
      let count = 0;
      while (b !== undefined && count < a.length && a[count] === b[count]) count++;
      return count;
    };
    return new Map(
      ids.map((id, at) => {
        const digits = Math.max(alike(id, ids[at - 1]), alike(id, ids[at + 1])) + 1;
        return [id, id.slice(0, Math.max(SHOWN_ID_DIGITS, digits))];
      }),
    );
  }

  async #load(): Promise<Known> {
    const logs = [...this.#logs.logs.values()];
    const entries = logs.reduce((sum, log) => sum + log.count, 0);
    const checkpoint = this.#checkpoints.current;
    if (this.#known?.entries === entries && this.#known.checkpoint === checkpoint) return this.#known;
    const found = logs.flatMap((log) =>
      log.uncovered.map((body) => ({ body, writer: log.name, id: hex(log.headAt(body.sequence + 1)) })),
    );
    found.sort((a, b) => compareOrder(a.body, b.body));
    const details = await this.#details(found);
    const speaking = found.flatMap(({ body, id }) => {
      const { operations } = details.get(id) ?? {};
      return operations ? [{ body, operations }] : [];
    });
    const { tags, doomed: forgotten } = namesAfter(checkpoint, speaking);
    for (const id of tags.values()) forgotten.delete(id);
    const covered = (checkpoint?.snapshot.versions ?? []).map(({ id, body }) => ({
      body,
      writer: this.#logs.log(body.writer).name,
      id: hex(id),
    }));
    // Of what was forgotten since the details may be gone; and all that they said of tags is in the checkpoint.
    const told = await this.#details(covered.filter(({ id }) => !forgotten.has(id)));
    const all = [...covered, ...found]
      .sort((a, b) => compareOrder(a.body, b.body))
      .flatMap((entry): Version[] => {
        const detail = details.get(entry.id) ?? told.get(entry.id);
        const operations = detail?.operations.filter(isTreeOperation) ?? [];
        // What cannot be read counts as a version: so nothing is given up because of it.
        if (detail && operations.length === 0) return [];
        const root = decodeEntry(entry.body.root, { isRoot: true });
        return [{ ...entry, root, operations, seen: detail?.seen ?? [] }];
      });
    const unreadable = found.length - speaking.length;
    this.#known = { checkpoint, entries, all: all.reverse(), speaking, tags, forgotten, unreadable };
    return this.#known;
  }

  /** By id; without those that cannot be read now. */
  async #details(entries: readonly { id: string; body: EntryBody }[]): Promise<Map<string, EntryDetail>> {
    const details = new Map<string, EntryDetail>();
    const waiting = entries.values();
    const worker = async (): Promise<void> => {
      for (const { id, body } of waiting) {
        const detail = await this.#detail(body);
        if (detail) details.set(id, detail);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    return details;
  }

  async #detail(body: EntryBody): Promise<EntryDetail | undefined> {
    try {
      return await this.#state.detail(body);
    } catch (error) {
      if (!(error instanceof Refusal) || (error.kind !== "missingBlob" && error.kind !== "corruptedBlob"))
        throw error;
      const time = new Date(body.timeMs).toISOString();
      this.#onWarning(`what the log entry of ${time} changed cannot be read: ${error.message}`);
      return undefined;
    }
  }
}

/** Entries oldest first; the checkpoint speaks in the place of its cut. */
function namesAfter(checkpoint: Checkpoint | undefined, entries: Known["speaking"]): Names {
  const names: Names = { tags: new Map(), doomed: new Set() };
  const restore = ({ snapshot }: Checkpoint): void => {
    for (const { name, version } of snapshot.tags) names.tags.set(name, hex(version));
    for (const id of snapshot.held) names.doomed.add(hex(id));
  };
  const isEarlier = ({ body }: Known["speaking"][number]): boolean =>
    checkpoint !== undefined && compareOrder(body, checkpoint.record.cut) < 0;
  for (const entry of entries) if (isEarlier(entry)) takeUp(entry.operations, names);
  if (checkpoint) restore(checkpoint);
  for (const entry of entries) if (!isEarlier(entry)) takeUp(entry.operations, names);
  return names;
}

function takeUp(operations: readonly Operation[], { tags, doomed }: Names): void {
  for (const operation of operations)
    if (operation.op === "tag") tags.set(operation.name, hex(operation.version));
    else if (operation.op === "untag") tags.delete(operation.name);
    else if (operation.op === "forget") for (const version of operation.versions) doomed.add(hex(version));
}

/** Whether it reads like an id, a time or a keyword, whichever versions there are. */
export function isVersionName(name: string): boolean {
  const text = name.toLowerCase();
  return text === "latest" || idPrefix.test(text) || parseVersionTime(text, new Date(0)) !== undefined;
}

function unknown(message: string, hint: string): Refusal {
  return new Refusal("unknownVersion", message, { hint });
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("hex");
}
