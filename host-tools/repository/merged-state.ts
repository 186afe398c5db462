// SPDX-License-Identifier: MIT
/**
 * The present state, from the logs of all writers: a function of the entries that this computer has seen, and so the same
 * on all computers that have seen the same. docs/repository.md "Several writers".
 */

import { DataError } from "../../firmware/protocol/data-error";
import { CausalMerge, type Draft, type Snapshot } from "./causal-merge";
import type { ChunkReader } from "./chunk-reader";
import { contentItems } from "./content";
import { type EntryBody, type EntryDetail, decodeDetail } from "./log-entry";
import type { LogBook } from "./log-book";
import { refuseNewerVersion } from "./newer-version";
import { ChunkKind } from "./repository-keys";
import { type TreeEntry, emptyRoot } from "./tree";
import type { TreeEditor } from "./tree-edit";
import type { TreeStore } from "./tree-store";

const MAX_DETAIL_BYTES = 64 * 1024 * 1024;

export class MergedState {
  readonly #logs: LogBook;
  readonly #reader: ChunkReader;
  readonly #merge: CausalMerge;
  readonly #details = new WeakMap<EntryBody, EntryDetail>();
  #current: Snapshot = { root: emptyRoot(), counts: new Map() };
  /** Highest Lamport time seen. */
  lamport = 0;

  constructor(options: {
    logs: LogBook;
    reader: ChunkReader;
    editor: TreeEditor;
    trees: TreeStore;
    onWarning: (text: string) => void;
  }) {
    this.#logs = options.logs;
    this.#reader = options.reader;
    const { logs, editor, trees: store, onWarning } = options;
    this.#merge = new CausalMerge({ logs, editor, store, onWarning, detail: this.detail });
  }

  get root(): TreeEntry {
    return this.#current.root;
  }

  /** The state and which entries it is made of. */
  get snapshot(): Snapshot {
    return this.#current;
  }

  async compute(): Promise<void> {
    const counts = this.#logs.counts();
    for (const log of this.#logs.logs.values())
      this.lamport = Math.max(this.lamport, log.accepted.at(-1)?.lamport ?? 0);
    this.#current = { root: await this.#merge.stateOf(counts), counts };
  }

  /** A change that was made on `from`, brought to the present state. */
  async bring(draft: Draft, from: Snapshot): Promise<TreeEntry> {
    return this.#merge.bring(draft, from, this.#current);
  }

  /** An entry's operations and what its writer had seen. */
  readonly detail = async (body: EntryBody): Promise<EntryDetail> => {
    const known = this.#details.get(body);
    if (known) return known;
    const bytes = await this.#detailBytes(body);
    try {
      const detail = decodeDetail(bytes);
      this.#details.set(body, detail);
      return detail;
    } catch (error) {
      refuseNewerVersion(error, `what the log entry of ${new Date(body.timeMs).toISOString()} changed`);
      throw error;
    }
  };

  async #detailBytes(body: EntryBody): Promise<Uint8Array> {
    if (body.detail instanceof Uint8Array) return body.detail;
    const { content, sizeBytes } = body.detail;
    if (sizeBytes > MAX_DETAIL_BYTES) throw new DataError("range", "log entry with too much detail");
    const parts: Uint8Array[] = [];
    const loadList = (): Promise<Uint8Array> =>
      Promise.reject(new DataError("type", "log entry with too much detail"));
    for await (const items of contentItems(content, sizeBytes, loadList))
      for (const { id } of items) {
        if (!id) throw new DataError("type", "a hole in a log entry");
        parts.push(await this.#reader.read(ChunkKind.detail, id));
      }
    return Buffer.concat(parts);
  }
}
