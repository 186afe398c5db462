// SPDX-License-Identifier: MIT
/**
 * Checkpoints: a snapshot of everything that the older entries of all logs have led to, so that a computer that opens the
 * repository need not read them and devices need not keep them. docs/repository.md "Checkpoints".
 *
 * Each device has a log of them. The newest that a computer has seen holds, from the next time that it opens the
 * repository, or at once when it lacks entries that the checkpoint stands for.
 */

import { type KeyObject, createHash, createPublicKey } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../firmware/protocol/data-error";
import { NO_ENTRY } from "../../firmware/protocol/log-chain";
import { writePrivateFile } from "../private-files";
import { Refusal } from "../refusal";
import { LogConflict } from "../remote/device-failure";
import type { BlobDevice, LogHead } from "./blob-device";
import { type CheckpointRecord, openRecord, sealRecord } from "./checkpoint-record";
import {
  MAX_PART_BLOB_BYTES,
  MAX_SNAPSHOT_BYTES,
  type RepositorySnapshot,
  decodeSnapshot,
  openPart,
} from "./checkpoint-snapshot";
import { compareOrder } from "./entry-order";
import { MAX_INDEX_BLOB_BYTES } from "./index-blob";
import type { KeptBlobs } from "./kept-blobs";
import type { LocalState } from "./local-state";
import type { LogBook } from "./log-book";
import { exportPublicKey } from "./log-entry";
import type { RepositoryKeys } from "./repository-keys";
import { tamperedLog } from "./tampered-log";

/** Far more than a repository needs: one for hundreds of entries. */
const MAX_RECORDS = 65_536;
const CONFLICT_ATTEMPTS = 3;

export interface Checkpoint {
  record: CheckpointRecord;
  /** The record as it is in the logs of checkpoints. */
  sealed: Uint8Array;
  snapshot: RepositorySnapshot;
}

export class Checkpoints {
  readonly #keys: RepositoryKeys;
  readonly #logs: LogBook;
  readonly #local: LocalState;
  readonly #blobs: KeptBlobs;
  readonly #path: string;
  readonly #onWarning: (text: string) => void;
  #current: Checkpoint | undefined;
  /** The newest seen: kept on this computer, and not always made use of yet. */
  #newest: Checkpoint | undefined;
  readonly #unconfirmed: Checkpoint[] = [];
  readonly #newerOn = new Set<string>();

  constructor(options: {
    keys: RepositoryKeys;
    logs: LogBook;
    local: LocalState;
    blobs: KeptBlobs;
    folder: string;
    onWarning: (text: string) => void;
  }) {
    this.#keys = options.keys;
    this.#logs = options.logs;
    this.#local = options.local;
    this.#blobs = options.blobs;
    this.#path = join(options.folder, "checkpoint");
    this.#onWarning = options.onWarning;
  }

  /** The one that stands for entries now. */
  get current(): Checkpoint | undefined {
    return this.#current;
  }

  /** The newest that was seen. */
  get newest(): Checkpoint | undefined {
    return this.#newest;
  }

  /** The copy on this computer, before the logs are read. A bad one is as good as none. */
  async load(): Promise<void> {
    let sealed: Uint8Array;
    try {
      sealed = readFileSync(this.#path);
    } catch {
      return;
    }
    try {
      const checkpoint = await this.#open(sealed, openRecord(this.#keys, sealed), []);
      if (checkpoint) this.#use(checkpoint);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
    }
  }

  /** Takes up what the log of checkpoints on a device has gained; `head` is undefined when it has none. */
  async take(device: BlobDevice, head: LogHead | undefined): Promise<void> {
    const remembered = this.#local.checkpointLog(device.name);
    if ((head?.count ?? 0) < (remembered?.count ?? 0))
      throw tamperedLog(
        `${device.name}: the log of checkpoints was rolled back: it had ${String(remembered?.count)} entries and now has ${String(head?.count ?? 0)}`,
      );
    if (!head) return;
    // What this computer had of it may be lost.
    const isKept = this.#newest !== undefined || remembered?.snapshot === "";
    if (isKept && remembered?.count === head.count && remembered.head === hex(head.head)) return;
    const nothing = { count: 0, head: hex(NO_ENTRY), snapshot: "", by: "" };
    const from = isKept ? (remembered ?? nothing) : nothing;
    const gained = await this.#read(device, from, remembered);
    const good = this.#openRecords(device, gained.records);
    // Of equal ones that which was written last: somebody vouches for it anew.
    good.reverse().sort((a, b) => compareRecords(b.record, a.record));
    for (const { sealed, record } of good) {
      if (this.#newest && compareRecords(record, this.#newest.record) < 0) break;
      if (await this.#takeUp(device, sealed, record)) break;
    }
    const shown = good.find(
      ({ record }) => this.#newest && compareRecords(record, this.#newest.record) === 0,
    );
    const { snapshot, by } = shown
      ? { snapshot: hex(shown.record.hash), by: hex(shown.record.writer) }
      : from;
    this.#local.setCheckpointLog(device.name, { count: gained.count, head: hex(gained.head), snapshot, by });
  }

  /** False when it cannot be read. */
  async #takeUp(device: BlobDevice, sealed: Uint8Array, record: CheckpointRecord): Promise<boolean> {
    if (this.#newest && compareRecords(record, this.#newest.record) === 0) {
      await this.keep({ ...this.#newest, record, sealed: Uint8Array.from(sealed) });
      return true;
    }
    let checkpoint: Checkpoint | undefined;
    try {
      checkpoint = await this.#open(sealed, record, [device.name]);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      this.#passOver(device, error);
    }
    if (!checkpoint) return false;
    this.#requireAgreement(device, checkpoint);
    await this.keep(checkpoint);
    this.#unconfirmed.push(checkpoint);
    const isBehind = checkpoint.snapshot.logs.some(
      ({ writer, covered }) => (this.#logs.logs.get(hex(writer))?.count ?? 0) < covered,
    );
    if (isBehind) this.#use(checkpoint);
    return true;
  }

  /** Whether the device showed one that says it was made by a newer version. */
  isNewerOn(device: string): boolean {
    return this.#newerOn.has(device);
  }

  /** For the next time, and for devices. */
  async keep(checkpoint: Checkpoint): Promise<void> {
    this.#newest = checkpoint;
    if (this.#current?.snapshot === checkpoint.snapshot) this.#current = checkpoint;
    await writePrivateFile(this.#path, checkpoint.sealed);
  }

  /** Whether the device has the newest checkpoint, from a writer that counts, with all blobs that it names. */
  isOn(device: string): boolean {
    const shown = this.#local.checkpointLog(device);
    if (!shown || !this.#newest || shown.snapshot !== hex(this.#newest.record.hash)) return false;
    return this.#logs.logs.get(shown.by)?.limit === undefined;
  }

  /** Whether the device has an older one, which this one is to follow. */
  isDueOn(device: string): boolean {
    return this.#local.checkpointLog(device) !== undefined && !this.isOn(device);
  }

  /** Stores the newest checkpoint on a device that lacks it: blobs first, then the record. */
  async bring(device: BlobDevice): Promise<void> {
    const checkpoint = this.#newest;
    if (!checkpoint || !this.#mayMake(checkpoint.record, true)) return;
    await this.#bringBlobs(device, checkpoint);
    if (this.isOn(device.name)) return;
    const { record, sealed } = checkpoint;
    const log = this.#keys.checkpointLogId;
    for (let attempt = 1; ; attempt++) {
      const { count, head } = this.#local.checkpointLog(device.name) ?? { count: 0, head: hex(NO_ENTRY) };
      try {
        const now = await device.logAppend(log, Buffer.from(head, "hex"), sealed);
        if (now.count !== count + 1)
          throw tamperedLog(`${device.name}: the log of checkpoints counts wrongly`);
        const [snapshot, by] = [hex(record.hash), hex(record.writer)];
        this.#local.setCheckpointLog(device.name, { count: now.count, head: hex(now.head), snapshot, by });
        return;
      } catch (error) {
        if (!(error instanceof LogConflict) || attempt === CONFLICT_ATTEMPTS) throw error;
        await this.take(device, await device.logHead(log));
        if (this.#newest !== checkpoint || this.isOn(device.name)) return;
      }
    }
  }

  /** The newest checkpoint once more, with this writer's word for it instead of that of one who was revoked. */
  async vouch({ id: writer, signingKey }: { id: Uint8Array; signingKey: KeyObject }): Promise<void> {
    if (!this.#newest || this.#mayMake(this.#newest.record, true)) return;
    const publicKey = exportPublicKey(createPublicKey(signingKey));
    const record = { ...this.#newest.record, writer, publicKey };
    await this.keep({ ...this.#newest, record, sealed: sealRecord(this.#keys, signingKey, record) });
  }

  /**
   * Whoever vouches for a checkpoint that was taken up just now has to be a writer that counts. Known only when the logs
   * were read, for which it may have been needed. One that was there already was good when it came.
   */
  confirm(): void {
    for (const { record, snapshot } of this.#unconfirmed.splice(0)) {
      if (this.#mayMake(record, true)) continue;
      if (this.#newest?.snapshot === snapshot) {
        rmSync(this.#path, { force: true });
        this.#newest = undefined;
      }
      if (this.#current?.snapshot === snapshot)
        throw tamperedLog(
          `the checkpoint that this repository begins with was made by ${this.#logs.log(record.writer).name}, which was revoked or is no writer of it`,
        );
    }
  }

  /** Ids of the blobs of a checkpoint. */
  blobIds(checkpoint = this.#newest): Uint8Array[] {
    return checkpoint ? [...checkpoint.record.parts, ...checkpoint.snapshot.indexBlobs] : [];
  }

  /** Before the logs were read a writer may be unknown. */
  #mayMake({ writer, publicKey }: CheckpointRecord, isKnown: boolean): boolean {
    const log = this.#logs.logs.get(hex(writer));
    if (!log?.publicKey) return !isKnown;
    return log.limit === undefined && Buffer.compare(log.publicKey, publicKey) === 0;
  }

  #openRecords(
    device: BlobDevice,
    records: readonly Uint8Array[],
  ): { sealed: Uint8Array; record: CheckpointRecord }[] {
    return records.flatMap((sealed) => {
      try {
        const record = openRecord(this.#keys, sealed);
        return this.#mayMake(record, false) ? [{ sealed, record }] : [];
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        this.#passOver(device, error);
        return [];
      }
    });
  }

  #passOver(device: BlobDevice, error: DataError): void {
    if (error.code === "version") this.#newerOn.add(device.name);
    this.#onWarning(`${device.name}: ${error.message}; it is passed over`);
  }

  /** What the log of checkpoints has gained, verified against its head. */
  async #read(
    device: BlobDevice,
    from: { count: number; head: string },
    remembered: { count: number; head: string } | undefined,
  ): Promise<LogHead & { records: Uint8Array[] }> {
    let { count } = from;
    let head: Uint8Array = Buffer.from(from.head, "hex");
    const records: Uint8Array[] = [];
    const forked = (): Refusal =>
      tamperedLog(
        `${device.name}: the log of checkpoints was forked: it ends differently from what it showed before`,
      );
    for (;;) {
      const page = await device.logRead(this.#keys.checkpointLogId, count, head);
      for (const entry of page.entries) {
        head = createHash("sha256").update(head).update(entry).digest();
        count++;
        records.push(entry);
        if (count === remembered?.count && hex(head) !== remembered.head) throw forked();
      }
      if (count === page.count && Buffer.compare(head, page.head) === 0) return { count, head, records };
      if (page.entries.length === 0 || count >= page.count || records.length > MAX_RECORDS) throw forked();
    }
  }

  /** Undefined when no device has all of it. */
  async #open(
    sealed: Uint8Array,
    record: CheckpointRecord,
    preferred: readonly string[],
  ): Promise<Checkpoint | undefined> {
    if (record.sizeBytes > MAX_SNAPSHOT_BYTES) throw new DataError("range", "a checkpoint that is too long");
    const parts: Uint8Array[] = [];
    for (const id of record.parts) {
      const part = await this.#blobs.read(id, {
        what: "part of a checkpoint",
        maxBytes: MAX_PART_BLOB_BYTES,
        preferred,
        open: (blob) => openPart(this.#keys, blob),
      });
      if (!part) return undefined;
      parts.push(part);
    }
    const snapshot = Buffer.concat(parts);
    if (
      snapshot.length !== record.sizeBytes ||
      Buffer.compare(createHash("sha256").update(snapshot).digest(), record.hash) !== 0
    )
      throw new DataError("checksum", "a checkpoint whose parts do not fit together");
    return { record, sealed: Uint8Array.from(sealed), snapshot: decodeSnapshot(snapshot) };
  }

  /** Where this computer has entries that a checkpoint stands for, it has to lead to the same ones. */
  #requireAgreement(device: BlobDevice, { snapshot, record }: Checkpoint): void {
    for (const { writer, count, head, publicKey } of snapshot.logs) {
      const log = this.#logs.logs.get(hex(writer));
      const known = log && log.count >= count ? log.headAt(count) : undefined;
      const isKey = log?.publicKey === undefined || Buffer.compare(log.publicKey, publicKey) === 0;
      if (isKey && (!known || Buffer.compare(known, head) === 0)) continue;
      throw tamperedLog(
        `${device.name}: a checkpoint of ${this.#logs.log(record.writer).name} contradicts the log of ${log?.name ?? hex(writer).slice(0, 8)} (entry ${String(count - 1)})`,
      );
    }
  }

  #use(checkpoint: Checkpoint): void {
    this.#newest = checkpoint;
    this.#current = checkpoint;
    this.#logs.startFrom(checkpoint.snapshot.logs);
  }

  async #bringBlobs(device: BlobDevice, checkpoint: Checkpoint): Promise<void> {
    const ids = this.blobIds(checkpoint);
    const present = await device.has(ids);
    const { devices } = checkpoint.snapshot;
    for (const [i, id] of ids.entries()) {
      if (present[i] === true) continue;
      const blob = await this.#blobs.read(id, {
        what: "part of a checkpoint",
        maxBytes: MAX_INDEX_BLOB_BYTES,
        preferred: devices,
        open: (bytes) => bytes,
      });
      if (!blob)
        throw new Refusal(
          "missingBlob",
          `part of the newest checkpoint is neither here nor on a connected device`,
          {
            hint: `Connect a device that has it (${devices.join(", ")}).`,
          },
        );
      await device.put(id, [blob]);
    }
  }
}

/** A total order, so that all come to the same; 0 for the same checkpoint, whoever vouches for it. */
function compareRecords(a: CheckpointRecord, b: CheckpointRecord): number {
  return compareOrder(a.cut, b.cut) || Buffer.compare(a.hash, b.hash);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
