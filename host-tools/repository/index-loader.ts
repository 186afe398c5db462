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
import type { ChunkIndex, Claim } from "./chunk-index";
import { type IndexedPackRecord, MAX_INDEX_BLOB_BYTES, decodeIndex, openIndexBlob } from "./index-blob";
import type { EntryBody, EntryDetail } from "./log-entry";
import { compareOrder } from "./entry-order";
import { refuseNewerVersion } from "./newer-version";
import { PackFate } from "./pack-fate";
import type { RepositoryKeys } from "./repository-keys";
import type { WriterLog } from "./writer-log";

const PARALLEL = 8;

export class IndexLoader {
  readonly fate: PackFate;
  /** Everything that entries say of packs could be read so far. */
  isComplete = true;
  readonly #keys: RepositoryKeys;
  readonly #index: ChunkIndex;
  readonly #devices: readonly BlobDevice[];
  readonly #folder: string;
  readonly #forgotten: ReadonlySet<string>;
  readonly #detailOf: (body: EntryBody) => Promise<EntryDetail>;
  readonly #onWarning: (text: string) => void;
  /** Entries taken up, by log. */
  readonly #done = new Map<WriterLog, number>();
  /** Index blobs that no device had. */
  readonly #missing: { id: Uint8Array; devices: readonly string[] }[] = [];
  /** Packs that devices lost, and the newest entry that says so: by pack, then device. */
  readonly #lost = new Map<string, Map<string, EntryBody>>();

  constructor(options: {
    keys: RepositoryKeys;
    index: ChunkIndex;
    devices: readonly BlobDevice[];
    folder: string;
    /** Devices that are not believed to have anything. */
    forgotten: ReadonlySet<string>;
    detailOf: (body: EntryBody) => Promise<EntryDetail>;
    onWarning: (text: string) => void;
  }) {
    this.#keys = options.keys;
    this.#index = options.index;
    this.fate = new PackFate(options.index);
    this.#devices = options.devices;
    this.#folder = options.folder;
    this.#forgotten = options.forgotten;
    this.#detailOf = options.detailOf;
    this.#onWarning = options.onWarning;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  /** Takes up what the logs have gained since the last call. */
  async load(logs: Iterable<WriterLog>): Promise<void> {
    const waiting: { body: EntryBody; id: Uint8Array }[] = [];
    const speaking: EntryBody[] = [];
    for (const log of logs) {
      for (const body of log.accepted.slice(this.#done.get(log) ?? 0)) {
        if (body.hasPackOperations === true) speaking.push(body);
        if (!(body.index instanceof Uint8Array)) for (const id of body.index) waiting.push({ body, id });
        else if (body.index.length > 0) this.#add(decodeIndex(body.index), body);
      }
      this.#done.set(log, log.accepted.length);
    }
    await severalAtATime(waiting, async ({ id, body }) => {
      this.#add(await this.#blob(id, body), body);
    });
    // After the packs: the detail of an entry may be in one of them.
    await severalAtATime(speaking, (body) => this.#takeOperations(body));
    this.#applyLosses();
    for (const { id, devices } of this.#missing.splice(0)) {
      // Given up: what it said is said by another one.
      if (devices.every((device) => this.#index.isLost(id, device))) continue;
      const name = Buffer.from(id).toString("hex").slice(0, 16);
      this.#onWarning(
        `index blob ${name} is on none of the connected devices (it was stored on ${devices.join(", ")}): some files cannot be read now`,
      );
      this.isComplete = false;
    }
  }

  async #takeOperations(body: EntryBody): Promise<void> {
    let detail: EntryDetail;
    try {
      detail = await this.#detailOf(body);
    } catch (error) {
      if (!(error instanceof DataError) && !(error instanceof Refusal)) throw error;
      if (error instanceof Refusal && error.kind === "interrupted") throw error;
      this.#onWarning(
        `which packs the entry of ${new Date(body.timeMs).toISOString()} gives up cannot be read now: ${error.message}`,
      );
      this.isComplete = false;
      return;
    }
    this.fate.apply(body, detail.operations);
    for (const operation of detail.operations) {
      if (operation.op !== "lost") continue;
      for (const id of operation.packs) {
        const key = Buffer.from(id).toString("hex");
        const devices = this.#lost.get(key) ?? new Map<string, EntryBody>();
        this.#lost.set(key, devices);
        const known = devices.get(operation.device);
        if (!known || compareOrder(body, known) > 0) devices.set(operation.device, body);
      }
    }
  }

  /** In the order of all entries, whatever order they came in; within one entry its packs count after what it lost. */
  #applyLosses(): void {
    for (const [key, devices] of this.#lost) {
      const id = Buffer.from(key, "hex");
      const claims = this.#index.packById(id)?.claims ?? [];
      for (const [device, body] of devices) {
        const isBack = claims.some(
          (claim) => claim.devices.has(device) && compareOrder(claim.body, body) >= 0,
        );
        if (!isBack) this.#index.lose(id, device);
      }
    }
  }

  /** The copy that this computer has of an index blob, when it is whole. */
  keptBlob(id: Uint8Array): Uint8Array | undefined {
    try {
      const blob = readFileSync(this.#path(id));
      return Buffer.compare(hash(blob), id) === 0 ? blob : undefined;
    } catch {
      return undefined;
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
    /** Shared by all packs of the same devices: mostly one for each entry. */
    const shared = new Map<number, readonly [Claim]>();
    for (const pack of packs) {
      if (this.fate.isDroppedSince(pack.id, body)) continue;
      let claims = shared.get(pack.deviceMask);
      if (!claims) {
        const devices = new Set(
          body.devices.filter((name, i) => (pack.deviceMask & (1 << i)) !== 0 && !this.#forgotten.has(name)),
        );
        claims = [{ body, devices }];
        shared.set(pack.deviceMask, claims);
      }
      this.#index.add(pack, claims[0].devices, claims);
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
        refuseNewerVersion(error, `index blob ${name}`);
        if (!(error instanceof DataError) && !(error instanceof Refusal)) throw error;
        if (error instanceof Refusal && error.kind === "interrupted") throw error;
        if (!(error instanceof Refusal && error.kind === "missingBlob"))
          this.#onWarning(`index blob ${name} on ${device.name} cannot be used: ${error.message}`);
      }
    }
    this.#missing.push({ id, devices: body.devices });
    return [];
  }

  #kept(id: Uint8Array): IndexedPackRecord[] | undefined {
    const blob = this.keptBlob(id);
    try {
      return blob && openIndexBlob(this.#keys, blob);
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
