// SPDX-License-Identifier: MIT
/**
 * The present state, from the logs of all writers. The entry with the highest Lamport time (then the highest writer id)
 * is the tip; its root holds everything that its writer had seen. What others wrote without the tip's writer knowing is
 * replayed on top, in the order of Lamport time and writer: every computer that has seen the same entries comes to the
 * same state. docs/repository.md "Several writers".
 */

import { DataError } from "../../firmware/protocol/data-error";
import type { ChunkReader } from "./chunk-reader";
import { contentItems } from "./content";
import { type EntryBody, type EntryDetail, decodeDetail } from "./log-entry";
import type { LogBook } from "./log-book";
import { ChunkKind } from "./repository-keys";
import { EntryType, type TreeEntry, decodeEntry, makeEntry } from "./tree";
import type { TreeEditor } from "./tree-edit";

const MAX_DETAIL_BYTES = 64 * 1024 * 1024;

export class MergedState {
  readonly #logs: LogBook;
  readonly #reader: ChunkReader;
  readonly #editor: TreeEditor;
  readonly #details = new WeakMap<EntryBody, EntryDetail>();
  root: TreeEntry = emptyRoot();
  /** Highest Lamport time seen. */
  lamport = 0;

  constructor(options: { logs: LogBook; reader: ChunkReader; editor: TreeEditor }) {
    this.#logs = options.logs;
    this.#reader = options.reader;
    this.#editor = options.editor;
  }

  async compute(): Promise<void> {
    let tip: EntryBody | undefined;
    for (const log of this.#logs.logs.values()) {
      const last = log.bodies.at(-1);
      if (last && (!tip || compareOrder(last, tip) > 0)) tip = last;
    }
    if (!tip) {
      this.root = emptyRoot();
      return;
    }
    this.lamport = tip.lamport;
    let root = decodeEntry(tip.root, { isRoot: true });
    for (const body of await this.#unseenBy(tip))
      for (const operation of (await this.detail(body)).operations)
        root = await this.#editor.apply(root, operation);
    this.root = root;
  }

  /** An entry's operations and what its writer had seen. */
  readonly detail = async (body: EntryBody): Promise<EntryDetail> => {
    const known = this.#details.get(body);
    if (known) return known;
    const detail = decodeDetail(await this.#detailBytes(body));
    this.#details.set(body, detail);
    return detail;
  };

  async #unseenBy(tip: EntryBody): Promise<EntryBody[]> {
    const seen = new Map((await this.detail(tip)).seen.map(({ writer, count }) => [hex(writer), count]));
    seen.set(hex(tip.writer), tip.sequence + 1);
    const unseen: EntryBody[] = [];
    for (const log of this.#logs.logs.values())
      unseen.push(...log.bodies.slice(seen.get(hex(log.writer)) ?? 0));
    return unseen.sort(compareOrder);
  }

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

export function emptyRoot(): TreeEntry {
  return makeEntry({ name: "", type: EntryType.directory, mode: 0o755 });
}

export function compareOrder(a: EntryBody, b: EntryBody): number {
  return a.lamport - b.lamport || Buffer.compare(a.writer, b.writer) || a.sequence - b.sequence;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
