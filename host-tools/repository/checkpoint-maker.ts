// SPDX-License-Identifier: MIT
/**
 * Makes checkpoints when it pays, and lets devices forget the entries that they stand for. docs/repository.md
 * "Checkpoints".
 */

import { type KeyObject, createHash, createPublicKey } from "node:crypto";
import { LogConflict } from "../remote/device-failure";
import { Refusal } from "../refusal";
import type { BlobDevice } from "./blob-device";
import { type CheckpointCut, MAX_CHECKPOINT_PARTS, sealRecord } from "./checkpoint-record";
import { type RepositorySnapshot, type SnapshotLog, encodeSnapshot, sealParts } from "./checkpoint-snapshot";
import { compareOrder } from "./entry-order";
import { type IndexedPackRecord, inIndexBlobs, sealIndexBlob } from "./index-blob";
import { type EntryBody, exportPublicKey } from "./log-entry";
import { MAX_DEVICES } from "./pack-format";
import type { RepositoryParts } from "./repository-parts";
import type { WriterLog } from "./writer-log";

/** Entries, or an eighth as many index blobs, that whoever opens the repository has to fetch at most before it pays. */
export const CHECKPOINT_ENTRIES = 512;
/** With several writers: an entry this old is known to all that write, but for those that were away. */
export const CHECKPOINT_AGE_MS = 3_600_000;
/** Entries that are tried as the last one of a checkpoint, from the newest on. */
const MAX_CANDIDATES = 1024;
/** An index blob of a checkpoint ends, from here on, with one pack in eight: so most stay the same when some packs go. */
const MIN_INDEX_BLOB_BYTES = 512 * 1024;

interface Cut {
  entry: EntryBody;
  /** Entries of each log that the checkpoint stands for. */
  covered: Map<WriterLog, number>;
}

export interface Maker {
  parts: RepositoryParts;
  writer: { id: Uint8Array; signingKey: KeyObject };
  /** Instead of CHECKPOINT_ENTRIES and CHECKPOINT_AGE_MS. */
  entries?: number | undefined;
  ageMs?: number | undefined;
}

/** False when it does not pay, or not yet. */
export async function makeCheckpoint(maker: Maker): Promise<boolean> {
  const { parts, writer } = maker;
  const { logs, checkpoints, keys } = parts;
  const least = maker.entries ?? CHECKPOINT_ENTRIES;
  if (!parts.isIndexComplete || weight(parts) < least) return false;
  const cut = await findCut(parts, maker.ageMs ?? CHECKPOINT_AGE_MS);
  if (!cut || weight(parts, cut) * 2 < least) return false;
  const logOfCut = logs.log(cut.entry.writer);
  const hash = logOfCut.headAt(cut.entry.sequence + 1);
  const snapshot = hash && (await takeSnapshot(parts, cut));
  if (!snapshot) return false;
  const bytes = encodeSnapshot(snapshot);
  const sealed = sealParts(keys, bytes);
  if (sealed.length > MAX_CHECKPOINT_PARTS) return false;
  for (const { id, blob } of sealed) parts.blobs.keep(id, blob);
  const { lamport, sequence } = cut.entry;
  const record = {
    cut: { lamport, writer: cut.entry.writer, sequence, hash } satisfies CheckpointCut,
    writer: writer.id,
    publicKey: exportPublicKey(createPublicKey(writer.signingKey)),
    parts: sealed.map(({ id }) => id),
    sizeBytes: bytes.length,
    hash: createHash("sha256").update(bytes).digest(),
  };
  await checkpoints.keep({ record, sealed: sealRecord(keys, writer.signingKey, record), snapshot });
  await parts.bringCheckpoint(() => true);
  return true;
}

/** Lets a device forget what the newest checkpoint stands for, when it has that. */
export async function trimLogs({ logs, checkpoints }: RepositoryParts, device: BlobDevice): Promise<void> {
  const { newest } = checkpoints;
  if (!newest || !checkpoints.isOn(device.name)) return;
  for (const { writer, count } of newest.snapshot.logs) {
    const log = logs.log(writer);
    const shown = logs.shownHead(device, log);
    if (count === 0 || !shown || shown.count <= count) continue;
    try {
      await device.logTrim(log.id, count, shown.head);
    } catch (error) {
      // Somebody else has just appended, or its firmware does not know how: another time.
      const isLater =
        error instanceof LogConflict || (error instanceof Refusal && error.kind === "protocolVersion");
      if (!isLater) throw error;
    }
  }
}

/** What whoever opens the repository has to fetch: of everything that the newest checkpoint does not stand for, or up to a cut. */
function weight({ logs, checkpoints }: RepositoryParts, cut?: Cut): number {
  const covered = new Map(checkpoints.newest?.snapshot.logs.map((log) => [hex(log.writer), log.covered]));
  let entries = 0;
  let blobs = 0;
  for (const [writer, log] of logs.logs)
    for (const { index } of log.between(
      Math.max(log.covered, covered.get(writer) ?? 0),
      cut ? (cut.covered.get(log) ?? 0) : log.acceptedCount,
    )) {
      entries++;
      if (!(index instanceof Uint8Array)) blobs += index.length;
    }
  return Math.max(entries, blobs * 8);
}

/**
 * The newest entry that every entry has seen, or that has itself seen it: so nothing that is written from now on has to
 * be merged with something older, except by a computer that was away from all devices that have it.
 */
async function findCut(parts: RepositoryParts, ageMs: number): Promise<Cut | undefined> {
  const logs = [...parts.logs.logs.values()].filter((log) => log.acceptedCount > 0);
  const writers = logs.filter((log) => log.limit === undefined).length;
  const newestMs = writers > 1 ? Date.now() - ageMs : Infinity;
  const candidates = logs
    .flatMap((log) => log.uncovered.slice(-MAX_CANDIDATES))
    .filter(({ timeMs }) => timeMs <= newestMs)
    .sort((a, b) => compareOrder(b, a));
  for (const entry of candidates.slice(0, MAX_CANDIDATES)) {
    const covered = await coveredBy(parts, logs, entry);
    if (covered) return { entry, covered };
  }
  return undefined;
}

async function coveredBy(
  { state }: RepositoryParts,
  logs: readonly WriterLog[],
  entry: EntryBody,
): Promise<Map<WriterLog, number> | undefined> {
  const seenBy = async (body: EntryBody, writer: Uint8Array): Promise<number> =>
    (await state.detail(body)).seen.find((seen) => Buffer.compare(seen.writer, writer) === 0)?.count ?? 0;
  const covered = new Map<WriterLog, number>();
  for (const log of logs) {
    if (Buffer.compare(log.writer, entry.writer) === 0) {
      covered.set(log, entry.sequence + 1);
      continue;
    }
    const count = Math.min(await seenBy(entry, log.writer), log.acceptedCount);
    if (count < log.covered) return undefined;
    if (count < log.acceptedCount) {
      const next = log.bodyAt(count);
      if (!next || (await seenBy(next, entry.writer)) <= entry.sequence) return undefined;
    }
    covered.set(log, count);
  }
  return covered;
}

/**
 * Of packs as everything is now, also what came after the cut: whoever reads it takes up the later entries after it, in
 * their order, and comes to the same again.
 */
async function takeSnapshot(parts: RepositoryParts, cut: Cut): Promise<RepositorySnapshot | undefined> {
  const { history, fate, index, checkpoints, keys } = parts;
  await history.requireComplete();
  const logs: SnapshotLog[] = [];
  for (const [log, covered] of cut.covered) {
    const count = Math.max(covered - 1, 0);
    const [head, publicKey] = [log.headAt(count), log.publicKey];
    if (!head || !publicKey) return undefined;
    const { writer, name, limit } = log;
    if (covered > 0) logs.push({ writer, count, head, covered, publicKey, name, limit });
  }
  const isCovered = ({ writer, sequence }: EntryBody): boolean =>
    sequence < (cut.covered.get(parts.logs.log(writer)) ?? 0);
  const { versions, tags, held } = await history.standing(isCovered);
  const devices = new Set(checkpoints.newest?.snapshot.devices);
  for (const pack of index.packs()) for (const name of pack.devices) devices.add(name);
  const names = [...devices];
  if (names.length > MAX_DEVICES) return undefined;
  const indexBlobs: Uint8Array[] = [];
  for (const group of inIndexBlobs(livePacks(parts, names), isBlobEnd)) {
    const blob = sealIndexBlob(keys, group);
    const id = createHash("sha256").update(blob).digest();
    parts.blobs.keep(id, blob);
    indexBlobs.push(id);
  }
  return {
    logs,
    versions: versions.reverse().map(({ id, body }) => ({ id: Buffer.from(id, "hex"), body })),
    tags: [...tags].map(([name, id]) => ({ name, version: Buffer.from(id, "hex") })),
    held: held.map((id) => Buffer.from(id, "hex")),
    devices: names,
    indexBlobs,
    condemned: [...fate.condemned].map(([id, { timeMs }]) => ({ id: Buffer.from(id, "hex"), timeMs })),
    lost: [...index.lostCopies()].filter(({ id }) => index.packById(id)?.isDropped === false),
  };
}

function* livePacks({ index }: RepositoryParts, devices: readonly string[]): Generator<IndexedPackRecord> {
  for (const pack of index.packs()) {
    if (pack.isDropped) continue;
    const deviceMask = devices.reduce(
      (mask, name, i) => (pack.devices.has(name) ? mask | (1 << i) : mask),
      0,
    );
    yield { ...index.packWithChunks(pack), deviceMask };
  }
}

function isBlobEnd({ id }: IndexedPackRecord, bytes: number): boolean {
  return bytes >= MIN_INDEX_BLOB_BYTES && (id[0] ?? 0) < 32;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
