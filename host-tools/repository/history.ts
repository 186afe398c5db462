// SPDX-License-Identifier: MIT
/**
 * The versions of the repository: every entry that changed something, with the state it led to. A version's id is the
 * hash of its entry, so it names the same state on every computer. docs/repository.md "Versions".
 */

import type { EntryBody } from "./log-entry";
import type { LogBook } from "./log-book";
import { compareOrder } from "./entry-order";
import type { MergedState } from "./merged-state";
import { type TreeEntry, decodeEntry } from "./tree";

export interface Version {
  /** 64 hexadecimal digits. */
  id: string;
  body: EntryBody;
  /** The state as its writer knew it. */
  root: TreeEntry;
  /** Name of the computer that wrote it. */
  writer: string;
}

export class History {
  readonly #logs: LogBook;
  readonly #state: MergedState;

  constructor(options: { logs: LogBook; state: MergedState }) {
    this.#logs = options.logs;
    this.#state = options.state;
  }

  /** Newest first. Entries without operations only carry a long index and are no versions. */
  async versions(): Promise<Version[]> {
    const versions: Version[] = [];
    for (const log of this.#logs.logs.values())
      for (const body of log.accepted) {
        if ((await this.#state.detail(body)).operations.length === 0) continue;
        const hash = log.headAt(body.sequence + 1) ?? new Uint8Array(0);
        const root = decodeEntry(body.root, { isRoot: true });
        versions.push({ id: Buffer.from(hash).toString("hex"), body, root, writer: log.name });
      }
    return versions.sort((a, b) => compareOrder(b.body, a.body));
  }
}
