// SPDX-License-Identifier: MIT
/**
 * What log entries say of packs beyond where they are: that they are condemned (nothing new relies on them) or dropped
 * (deleted). Entries count in the order of the merged history, in whatever order this computer learns of them: a pack
 * that was stored again after it was dropped is there. docs/repository.md "Pruning".
 */

import type { ChunkIndex } from "./chunk-index";
import { type EntryOrder, compareOrder } from "./entry-order";
import type { Operation } from "./log-entry";

/** While packs were chosen to rely on, some of the repository's were condemned: to be done again with what is left. */
export class CondemnedMeanwhile extends Error {
  constructor() {
    super("packs were condemned meanwhile");
  }
}

/** Each is met by a prune of its own. */
const MAX_ATTEMPTS = 5;

/**
 * What meets a prune is done again; prunes are rare, so it ends. `isAgain`: what is visible already may rely on packs that
 * are gone, so nothing counts as stored without a look at the index.
 */
export async function untilNothingIsCondemned<T>(work: (isAgain: boolean) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await work(attempt > 1);
    } catch (error) {
      if (!(error instanceof CondemnedMeanwhile) || attempt === MAX_ATTEMPTS) throw error;
    }
}

/** An entry that condemned or dropped packs. */
interface Sentence extends EntryOrder {
  timeMs: number;
}

export class PackFate {
  readonly #index: ChunkIndex;
  /** Also blobs that are in no index: what an interrupted push left. */
  readonly #condemned = new Map<string, Sentence>();
  readonly #dropped = new Map<string, Sentence>();
  /** Entries so far that condemned packs. */
  condemnations = 0;

  constructor(index: ChunkIndex) {
    this.#index = index;
  }

  /** Condemned and not dropped: hexadecimal ids, with the entry that condemned them last. */
  get condemned(): ReadonlyMap<string, Sentence> {
    return this.#condemned;
  }

  /** Whether the pack that this entry brought was dropped by a later one. */
  isDroppedSince(id: Uint8Array, entry: EntryOrder): boolean {
    const dropped = this.#dropped.get(hex(id));
    return dropped !== undefined && compareOrder(entry, dropped) < 0;
  }

  isCondemned(id: Uint8Array): boolean {
    return this.#condemned.has(hex(id));
  }

  /** Takes up an entry's operations; in any order of entries. */
  apply(entry: Sentence, operations: readonly Operation[]): void {
    if (operations.some(({ op }) => op === "condemn")) this.condemnations++;
    for (const operation of operations) {
      if (operation.op === "condemn") for (const id of operation.packs) this.#condemn(id, entry);
      else if (operation.op === "drop") for (const id of operation.packs) this.#drop(id, entry);
    }
  }

  /** Takes up what a checkpoint says, in the place of the entry that it ends with. */
  restore(condemned: readonly { id: Uint8Array; timeMs: number }[], cut: EntryOrder): void {
    if (condemned.some(({ id }) => !this.isCondemned(id))) this.condemnations++;
    for (const { id, timeMs } of condemned) this.#condemn(id, { ...cut, timeMs });
  }

  #condemn(id: Uint8Array, entry: Sentence): void {
    const key = hex(id);
    const dropped = this.#dropped.get(key);
    if (dropped && compareOrder(entry, dropped) < 0) return;
    const known = this.#condemned.get(key);
    if (!known || compareOrder(known, entry) < 0) this.#condemned.set(key, entry);
    const pack = this.#index.packById(id);
    if (pack) pack.isCondemned = true;
  }

  #drop(id: Uint8Array, entry: Sentence): void {
    const key = hex(id);
    const known = this.#dropped.get(key);
    if (known && compareOrder(entry, known) < 0) return;
    this.#dropped.set(key, entry);
    const condemned = this.#condemned.get(key);
    const pack = this.#index.packById(id);
    if (condemned && compareOrder(condemned, entry) < 0) {
      this.#condemned.delete(key);
      if (pack) pack.isCondemned = false;
    }
    if (pack?.claims.every(({ body }) => compareOrder(body, entry) < 0) === true) {
      pack.devices = new Set();
      pack.isDropped = true;
    }
  }
}

function hex(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("hex");
}
