// SPDX-License-Identifier: MIT
/**
 * Fills the index: from the checkpoint, then from log entries, each with its index in itself when it is small, else in
 * index blobs.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { Refusal } from "../refusal";
import type { Checkpoint } from "./checkpoints";
import type { ChunkIndex, Claim } from "./chunk-index";
import { type EntryOrder, compareOrder } from "./entry-order";
import { EntrySet } from "./entry-set";
import { type IndexedPackRecord, MAX_INDEX_BLOB_BYTES, decodeIndex, openIndexBlob } from "./index-blob";
import type { KeptBlobs } from "./kept-blobs";
import type { EntryBody, EntryDetail } from "./log-entry";
import { PackFate } from "./pack-fate";
import type { RepositoryKeys } from "./repository-keys";
import type { WriterLog } from "./writer-log";

const PARALLEL = 4;

/** What says that packs are somewhere: an entry, or a checkpoint in the place of the one that it ends with. */
interface PackSource extends EntryOrder {
  devices: readonly string[];
}

export class IndexLoader {
  readonly fate: PackFate;
  /** Everything that entries say of packs could be read so far. */
  isComplete = true;
  readonly #keys: RepositoryKeys;
  readonly #index: ChunkIndex;
  readonly #blobs: KeptBlobs;
  readonly #forgotten: ReadonlySet<string>;
  readonly #detailOf: (body: EntryBody) => Promise<EntryDetail>;
  readonly #onWarning: (text: string) => void;
  #checkpoint: Checkpoint | undefined;
  /** Sequence of the first entry that was not taken up, by log. */
  readonly #done = new Map<WriterLog, number>();
  /** Index blobs that no device had. */
  readonly #missing: { id: Uint8Array; devices: readonly string[] }[] = [];
  /** Packs that devices lost, and the newest entry that says so: by pack, then device. */
  readonly #lost = new Map<string, Map<string, EntryBody>>();

  constructor(options: {
    keys: RepositoryKeys;
    index: ChunkIndex;
    blobs: KeptBlobs;
    /** Devices that are not believed to have anything. */
    forgotten: ReadonlySet<string>;
    detailOf: (body: EntryBody) => Promise<EntryDetail>;
    onWarning: (text: string) => void;
  }) {
    this.#keys = options.keys;
    this.#index = options.index;
    this.fate = new PackFate(options.index);
    this.#blobs = options.blobs;
    this.#forgotten = options.forgotten;
    this.#detailOf = options.detailOf;
    this.#onWarning = options.onWarning;
  }

  /** Takes up what the checkpoint and the logs have gained since the last call. */
  async load(checkpoint: Checkpoint | undefined, logs: Iterable<WriterLog>): Promise<void> {
    if (checkpoint !== this.#checkpoint && checkpoint) await this.#loadCheckpoint(checkpoint);
    this.#checkpoint = checkpoint;
    const waiting: { body: EntryBody; id: Uint8Array }[] = [];
    const speaking: EntryBody[] = [];
    for (const log of logs) {
      const from = Math.max(this.#done.get(log) ?? 0, log.covered);
      for (const body of log.between(from, log.acceptedCount)) {
        if (body.hasPackOperations === true) speaking.push(body);
        if (!(body.index instanceof Uint8Array)) for (const id of body.index) waiting.push({ body, id });
        else if (body.index.length > 0) this.#add(decodeIndex(body.index), body);
      }
      this.#done.set(log, log.acceptedCount);
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

  /** What is known already and not in the checkpoint is gone: dropped by an entry that it stands for. */
  async #loadCheckpoint({ record, snapshot }: Checkpoint): Promise<void> {
    const { cut } = record;
    const { devices, indexBlobs, condemned, lost } = snapshot;
    const source = { ...cut, devices };
    const present = new EntrySet(this.#index.packCount);
    // In their order, so that the next checkpoint has most of these blobs again.
    for (let at = 0; at < indexBlobs.length; at += PARALLEL) {
      const ids = indexBlobs.slice(at, at + PARALLEL);
      for (const packs of await Promise.all(ids.map((id) => this.#blob(id, source)))) {
        this.#add(packs, source);
        for (const { id } of packs) {
          const pack = this.#index.packById(id);
          if (pack) present.add(pack.number);
        }
      }
    }
    this.#index.dropOthers(
      (pack) => present.has(pack.number) || pack.claims.some(({ body }) => compareOrder(body, cut) > 0),
    );
    this.fate.restore(condemned, cut);
    for (const { device, id } of lost) this.#index.lose(id, device);
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

  #add(packs: readonly IndexedPackRecord[], body: PackSource): void {
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
      const indexed = this.#index.add(pack, claims[0].devices, claims);
      indexed.isCondemned = this.fate.isCondemned(pack.id);
    }
  }

  async #blob(id: Uint8Array, { devices }: PackSource): Promise<IndexedPackRecord[]> {
    const packs = await this.#blobs.read(id, {
      what: "index blob",
      maxBytes: MAX_INDEX_BLOB_BYTES,
      preferred: devices,
      open: (blob) => openIndexBlob(this.#keys, blob),
    });
    if (!packs) this.#missing.push({ id, devices });
    return packs ?? [];
  }
}

async function severalAtATime<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const worker = async (): Promise<void> => {
    for (let next = items.shift(); next; next = items.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}
