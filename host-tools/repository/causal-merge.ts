// SPDX-License-Identifier: MIT
/**
 * The state that a set of entries comes to. A set is given by how many entries of each log are in it, and with an entry
 * everything is in it that its writer had seen. If one entry has seen all others, its root is the state. Else the roots
 * of the entries that no other has seen are merged one after the other, each against the state of what both sides had
 * seen. So the state is a function of the set. docs/repository.md "Several writers".
 */

import { Refusal } from "../refusal";
import { type ByteString, fromBytes } from "./byte-names";
import { compareOrder } from "./entry-order";
import type { EntryBody, EntryDetail, Operation } from "./log-entry";
import type { LogBook } from "./log-book";
import { rebaseMoves } from "./move-rebase";
import { type TreeEntry, decodeEntry, emptyRoot } from "./tree";
import type { TreeEditor } from "./tree-edit";
import { type LeafOrigin, type MergeSide, TreeMerge, areIdentical, haveSameContent } from "./tree-merge";
import type { TreeStore } from "./tree-store";

/** Entries of each log, by the writer's id in hexadecimal. */
export type Counts = ReadonlyMap<string, number>;

/** A state and what is in it. */
export interface Snapshot {
  root: TreeEntry;
  counts: Counts;
}

/** A change of this computer that has no entry yet. */
export interface Draft {
  root: TreeEntry;
  operations: readonly Operation[];
  writer: Uint8Array;
  computer: string;
}

/**
 * What both sides had seen may itself need a merge, and so on. Deeper than this one old state serves that both had
 * seen: more is then kept twice than need be, and nothing is lost.
 */
const MAX_DEPTH = 4;
/** Entries among which the author of a conflicting version is looked for, and whose moves are followed. */
const MAX_SEARCHED = 1000;
/** States kept: those of the same sets are asked for again and again. */
const KEPT_STATES = 256;

export class CausalMerge {
  readonly #logs: LogBook;
  readonly #store: TreeStore;
  readonly #editor: TreeEditor;
  readonly #detail: (body: EntryBody) => Promise<EntryDetail>;
  readonly #onWarning: (text: string) => void;
  readonly #kept = new Map<string, TreeEntry>();

  constructor(options: {
    logs: LogBook;
    store: TreeStore;
    editor: TreeEditor;
    detail: (body: EntryBody) => Promise<EntryDetail>;
    onWarning: (text: string) => void;
  }) {
    this.#logs = options.logs;
    this.#store = options.store;
    this.#editor = options.editor;
    this.#detail = options.detail;
    this.#onWarning = options.onWarning;
  }

  async stateOf(counts: Counts): Promise<TreeEntry> {
    return this.#stateOf(counts, 0);
  }

  /** Brings `draft`, made on `from`, to what others have written since. The draft counts as the latest of all changes. */
  async bring(draft: Draft, from: Snapshot, to: Snapshot): Promise<TreeEntry> {
    const own: LeafOrigin = {
      computer: draft.computer,
      timeMs: Date.now(),
      order: { lamport: Number.MAX_SAFE_INTEGER, writer: draft.writer, sequence: 0 },
    };
    return this.#merge(
      from.root,
      { root: to.root, entries: this.#between(from.counts, to.counts) },
      { root: draft.root, operations: draft.operations, origin: () => Promise.resolve(own) },
    );
  }

  async #stateOf(counts: Counts, depth: number): Promise<TreeEntry> {
    const key = `${String(depth)} ${[...counts].map(([writer, count]) => `${writer}${String(count)}`).join(" ")}`;
    let state = this.#kept.get(key);
    if (!state) {
      state = await this.#mergeHeads(counts, depth);
      for (const oldest of this.#kept.keys()) {
        if (this.#kept.size < KEPT_STATES) break;
        this.#kept.delete(oldest);
      }
    }
    this.#kept.delete(key);
    this.#kept.set(key, state);
    return state;
  }

  async #mergeHeads(counts: Counts, depth: number): Promise<TreeEntry> {
    const heads = await this.#heads(counts);
    const [first, ...others] = heads;
    if (!first) return emptyRoot();
    let state = rootOf(first.body);
    let { seen } = first;
    for (const { body, seen: seenByOther } of others) {
      const common = meet(seen, seenByOther);
      const base = await this.#base(common, depth);
      state = await this.#merge(
        base,
        { root: state, entries: this.#between(common, seen) },
        { root: rootOf(body), entries: this.#between(common, seenByOther) },
      );
      seen = join(seen, seenByOther);
    }
    return state;
  }

  /**
   * Whoever wrote without having seen a checkpoint's last entry (on a device that did not have it) is merged as if the two
   * sides had nothing in common: what they had is no longer known, and so everything is kept.
   */
  async #base(common: Counts, depth: number): Promise<TreeEntry> {
    for (const [writer, { covered }] of this.#logs.logs)
      if ((common.get(writer) ?? 0) < covered) return emptyRoot();
    return depth < MAX_DEPTH ? this.#stateOf(common, depth + 1) : this.#rootSeenByAll(common);
  }

  /** The entries that none other of the set has seen, in order, with what each has seen. */
  async #heads(counts: Counts): Promise<{ body: EntryBody; seen: Counts }[]> {
    const lasts: { body: EntryBody; seen: Counts }[] = [];
    for (const body of this.#lasts(counts)) {
      const seen = await this.#seenBy(body, counts);
      // The latest entry comes first, and has mostly seen all others.
      if (lasts.length === 0 && [...counts].every(([writer, count]) => (seen.get(writer) ?? 0) >= count))
        return [{ body, seen }];
      lasts.push({ body, seen });
    }
    const isSeen = (body: EntryBody): boolean =>
      lasts.some((other) => other.body !== body && (other.seen.get(hex(body.writer)) ?? 0) > body.sequence);
    return lasts.filter(({ body }) => !isSeen(body)).reverse();
  }

  /** The last entry of each log, latest first. */
  #lasts(counts: Counts): EntryBody[] {
    const lasts: EntryBody[] = [];
    for (const [writer, count] of counts) {
      const body = this.#logs.logs.get(writer)?.bodyAt(count - 1);
      if (body) lasts.push(body);
    }
    return lasts.sort((a, b) => compareOrder(b, a));
  }

  /** The entry itself and everything that its writer had seen, as far as it is within `limit`. */
  async #seenBy(body: EntryBody, limit: Counts): Promise<Counts> {
    const seen = new Map<string, number>();
    for (const { writer, count } of (await this.#detail(body)).seen) seen.set(hex(writer), count);
    seen.set(hex(body.writer), body.sequence + 1);
    return meet(seen, limit);
  }

  #rootSeenByAll(common: Counts): TreeEntry {
    const latest = this.#lasts(common)[0];
    return latest ? rootOf(latest) : emptyRoot();
  }

  /** The entries in `to` that are not in `from`, in order. */
  #between(from: Counts, to: Counts): EntryBody[] {
    const entries: EntryBody[] = [];
    for (const [writer, count] of to)
      entries.push(...(this.#logs.logs.get(writer)?.between(from.get(writer) ?? 0, count) ?? []));
    return entries.sort(compareOrder);
  }

  async #merge(base: TreeEntry, earlier: MergedSide, later: MergedSide): Promise<TreeEntry> {
    if (areIdentical(base, earlier.root)) return later.root;
    if (areIdentical(base, later.root)) return earlier.root;
    const sides = { base, earlier: earlier.root, later: later.root };
    for (const { from, to } of await this.#moves(earlier)) {
      const moved = await rebaseMoves(this.#editor, this.#store, [sides.base, sides.later], from, to);
      [sides.base, sides.later] = moved;
    }
    for (const { from, to } of await this.#moves(later)) {
      const moved = await rebaseMoves(this.#editor, this.#store, [sides.base, sides.earlier], from, to);
      [sides.base, sides.earlier] = moved;
    }
    const merge = new TreeMerge({
      store: this.#store,
      earlier: this.#side(sides.earlier, earlier),
      later: this.#side(sides.later, later),
      onWarning: this.#onWarning,
    });
    return merge.merge(sides.base);
  }

  async #moves(side: MergedSide): Promise<{ from: ByteString[]; to: ByteString[] }[]> {
    const operations = [...(side.operations ?? [])];
    for (const body of side.entries?.slice(-MAX_SEARCHED) ?? [])
      operations.push(...(await this.#detail(body)).operations);
    return operations.flatMap((operation) =>
      operation.op === "move"
        ? [{ from: operation.from.map(fromBytes), to: operation.to.map(fromBytes) }]
        : [],
    );
  }

  #side(root: TreeEntry, side: MergedSide): MergeSide {
    const { entries } = side;
    return {
      root,
      origin: entries ? (path, leaf) => this.#originIn(entries, path, leaf) : side.origin,
    };
  }

  /** The first of the entries that has the leaf; where it came by another way, the last of them. */
  async #originIn(
    entries: readonly EntryBody[],
    path: readonly ByteString[],
    leaf: TreeEntry,
  ): Promise<LeafOrigin> {
    for (const body of entries.slice(-MAX_SEARCHED))
      if (haveSameContent(await this.#find(body, path), leaf)) return this.#origin(body);
    const last = entries.at(-1);
    if (!last) throw new Error("a change without an entry");
    return this.#origin(last);
  }

  /** Roots of older entries may be gone from the devices. */
  async #find(body: EntryBody, path: readonly ByteString[]): Promise<TreeEntry | undefined> {
    try {
      return await this.#store.find(rootOf(body), path);
    } catch (error) {
      if (error instanceof Refusal && (error.kind === "missingBlob" || error.kind === "corruptedBlob"))
        return undefined;
      throw error;
    }
  }

  #origin(body: EntryBody): LeafOrigin {
    return { computer: this.#logs.log(body.writer).name, timeMs: body.timeMs, order: body };
  }
}

interface EntriesSide {
  root: TreeEntry;
  entries: readonly EntryBody[];
  operations?: undefined;
}

interface DraftSide {
  root: TreeEntry;
  entries?: undefined;
  operations: readonly Operation[];
  origin: MergeSide["origin"];
}

type MergedSide = EntriesSide | DraftSide;

function rootOf(body: EntryBody): TreeEntry {
  return decodeEntry(body.root, { isRoot: true });
}

/** In the order of the writers' ids, so that equal sets have equal keys. */
function sortedCounts(counts: Iterable<[string, number]>): Counts {
  return new Map([...counts].filter(([, count]) => count > 0).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function meet(a: Counts, b: Counts): Counts {
  return sortedCounts([...a].map(([writer, count]) => [writer, Math.min(count, b.get(writer) ?? 0)]));
}

function join(a: Counts, b: Counts): Counts {
  const writers = new Set([...a.keys(), ...b.keys()]);
  return sortedCounts(
    [...writers].map((writer) => [writer, Math.max(a.get(writer) ?? 0, b.get(writer) ?? 0)]),
  );
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
