// SPDX-License-Identifier: MIT
/**
 * Fills the index from log entries: from the entry itself when it is small, else from its index blobs, which are kept
 * sealed on this computer. Both copies are verified; a damaged one is fetched again.
 */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../firmware/protocol/data-error";
import { Refusal } from "../refusal";
import type { BlobDevice } from "./blob-device";
import type { ChunkIndex } from "./chunk-index";
import { type IndexedPackRecord, MAX_INDEX_BLOB_BYTES, decodeIndex, openIndexBlob } from "./index-blob";
import type { EntryBody, EntryDetail } from "./log-entry";
import { PackFate } from "./pack-fate";
import type { RepositoryKeys } from "./repository-keys";
import type { WriterLog } from "./writer-log";

const PARALLEL = 8;

export class IndexLoader {
  readonly fate: PackFate;
  /** No index blob was unreadable so far. */
  isComplete = true;
  readonly #keys: RepositoryKeys;
  readonly #index: ChunkIndex;
  readonly #devices: readonly BlobDevice[];
  readonly #folder: string;
  readonly #forgotten: ReadonlySet<string>;
  readonly #onWarning: (text: string) => void;
  /** Entries taken up, by log. */
  readonly #done = new Map<WriterLog, number>();

  constructor(options: {
    keys: RepositoryKeys;
    index: ChunkIndex;
    devices: readonly BlobDevice[];
    folder: string;
    /** Devices that are not believed to have anything. */
    forgotten: ReadonlySet<string>;
    onWarning: (text: string) => void;
  }) {
    this.#keys = options.keys;
    this.#index = options.index;
    this.fate = new PackFate(options.index);
    this.#devices = options.devices;
    this.#folder = options.folder;
    this.#forgotten = options.forgotten;
    this.#onWarning = options.onWarning;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  /** Takes up what the logs have gained since the last call. */
  async load(logs: Iterable<WriterLog>, detailOf: (entry: EntryBody) => Promise<EntryDetail>): Promise<void> {
    const waiting: { body: EntryBody; id: Uint8Array }[] = [];
    const fresh: EntryBody[] = [];
    for (const log of logs) {
      for (const body of log.bodies.slice(this.#done.get(log) ?? 0)) {
        fresh.push(body);
        if (!(body.index instanceof Uint8Array)) for (const id of body.index) waiting.push({ body, id });
        else if (body.index.length > 0) this.#add(decodeIndex(body.index), body);
      }
      this.#done.set(log, log.count);
    }
    await severalAtATime(waiting, async ({ id, body }) => {
      this.#add(await this.#blob(id, body), body);
    });
    // Only now: a long list of operations lies in a pack itself.
    await severalAtATime(fresh, (body) => this.#applyOperations(body, detailOf));
  }

  async #applyOperations(
    body: EntryBody,
    detailOf: (entry: EntryBody) => Promise<EntryDetail>,
  ): Promise<void> {
    try {
      this.fate.apply(body, (await detailOf(body)).operations);
    } catch (error) {
      if (!(error instanceof Refusal) || (error.kind !== "missingBlob" && error.kind !== "corruptedBlob"))
        throw error;
      // Whoever needs what it says meets the same error again; only a prune would do without it.
      this.isComplete = false;
    }
  }

  /** Keeps an index blob that was just made. */
  keep(id: Uint8Array, blob: Uint8Array): void {
    const path = this.#path(id);
    try {
      writeFileSync(`${path}.tmp`, blob, { mode: 0o600 });
      renameSync(`${path}.tmp`, path);
    } catch {
      // Without the copy it is fetched next time.
    }
  }

  #add(packs: readonly IndexedPackRecord[], body: EntryBody): void {
    /** Shared by all packs of the same devices: mostly one set for each entry. */
    const sets = new Map<number, ReadonlySet<string>>();
    for (const pack of packs) {
      if (!this.fate.isStored(pack.id, body)) continue;
      let devices = sets.get(pack.deviceMask);
      if (!devices) {
        devices = new Set(
          body.devices.filter((name, i) => (pack.deviceMask & (1 << i)) !== 0 && !this.#forgotten.has(name)),
        );
        sets.set(pack.deviceMask, devices);
      }
      this.#index.add(pack, devices);
      const indexed = this.#index.packById(pack.id);
      if (indexed) indexed.isCondemned = this.fate.isCondemned(pack.id);
    }
  }

  async #blob(id: Uint8Array, body: EntryBody): Promise<IndexedPackRecord[]> {
    const kept = this.#kept(id);
    if (kept) return kept;
    const devices = [...this.#devices].sort(
      (a, b) => Number(body.devices.includes(b.name)) - Number(body.devices.includes(a.name)),
    );
    const name = Buffer.from(id).toString("hex").slice(0, 16);
    for (const device of devices) {
      try {
        const blob = await device.get(id, 0, MAX_INDEX_BLOB_BYTES);
        if (Buffer.compare(hash(blob), id) !== 0)
          throw new DataError("checksum", "its bytes do not hash to its id");
        const packs = openIndexBlob(this.#keys, blob);
        this.keep(id, blob);
        return packs;
      } catch (error) {
        if (!(error instanceof DataError) && !(error instanceof Refusal)) throw error;
        if (error instanceof Refusal && error.kind === "interrupted") throw error;
        if (!(error instanceof Refusal && error.kind === "missingBlob"))
          this.#onWarning(`index blob ${name} on ${device.name} cannot be used: ${error.message}`);
      }
    }
    this.#onWarning(
      `index blob ${name} is on none of the connected devices (it was stored on ${body.devices.join(", ")}): some files cannot be read now`,
    );
    this.isComplete = false;
    return [];
  }

  #kept(id: Uint8Array): IndexedPackRecord[] | undefined {
    try {
      const blob = readFileSync(this.#path(id));
      return Buffer.compare(hash(blob), id) === 0 ? openIndexBlob(this.#keys, blob) : undefined;
    } catch {
      return undefined;
    }
  }

  #path(id: Uint8Array): string {
    return join(this.#folder, Buffer.from(id).toString("hex"));
  }
}

async function severalAtATime<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const worker = async (): Promise<void> => {
    for (let next = items.shift(); next; next = items.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

function hash(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
