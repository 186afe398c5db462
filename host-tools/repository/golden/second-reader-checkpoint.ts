// SPDX-License-Identifier: MIT
/**
 * Checkpoints for the second reader: docs/repository.md, "Checkpoints". The record of the checkpoint log, its parts, and
 * the snapshot that they hold.
 */

import {
  Cursor,
  Refused,
  asArray,
  asBytes,
  asMap,
  asNumber,
  asText,
  check,
  checkVersion,
  decodeCbor,
  hex,
  hmac,
  isSame,
  join,
  sha256,
} from "./second-reader-bytes";
import type { DeviceContents, Keys } from "./second-reader-keys";
import {
  type EntryPlace,
  type LogStart,
  type VerifiedLogs,
  compareEntries,
  openSigned,
} from "./second-reader-log";
import { openWhole } from "./second-reader-store";

/** A version as a snapshot tells it. */
export interface SnapshotVersion {
  readonly id: string;
  readonly root: Buffer;
}

interface Snapshot {
  /** By writer. */
  readonly logs: ReadonlyMap<string, LogStart>;
  readonly versions: readonly SnapshotVersion[];
  /** Names of versions, and their ids. */
  readonly tags: readonly (readonly [string, Buffer])[];
  /** Versions that are forgotten when no tag names them. */
  readonly held: readonly Buffer[];
  readonly devices: readonly string[];
  readonly index: readonly Buffer[];
  readonly condemned: readonly Buffer[];
  /** Names of devices, and the packs that they lost. */
  readonly lost: readonly (readonly [string, Buffer])[];
}

/** The entry that a checkpoint stands for. */
interface Cut extends EntryPlace {
  readonly hash: Buffer;
}

interface CheckpointRecord {
  readonly cut: Cut;
  readonly by: { readonly writer: string; readonly key: Buffer };
  readonly parts: readonly string[];
  readonly size: number;
  readonly hash: Buffer;
}

export interface Checkpoint extends Snapshot {
  readonly cut: Cut;
  readonly by: CheckpointRecord["by"];
}

/**
 * The newest checkpoint that can be read; undefined when there is none. One that cannot be read is told when entries are
 * missing that it may stand for.
 */
export function readCheckpoint(
  devices: readonly DeviceContents[],
  keys: Keys,
  blob: (id: string) => Buffer | undefined,
): Checkpoint | undefined {
  const problems: Refused[] = [];
  for (const record of readRecords(devices, keys, problems)) {
    const snapshot = unlessRefused(() => readSnapshot(record, keys, blob), problems);
    if (snapshot === undefined) continue;
    const checkpoint = { ...snapshot, cut: record.cut, by: record.by };
    checkCut(checkpoint);
    return checkpoint;
  }
  const isTrimmed = devices.some(({ logs }) => [...logs.values()].some(({ first }) => first > 0));
  if (problems[0] !== undefined && isTrimmed) throw problems[0];
  return undefined;
}

/** The newest one first; of equal ones that which was written last. */
function readRecords(
  devices: readonly DeviceContents[],
  keys: Keys,
  problems: Refused[],
): CheckpointRecord[] {
  const tail = hmac(keys.key("log id", 0), Buffer.from("checkpoints")).subarray(0, 16);
  const id = hex(join(keys.repositoryId, tail));
  const place = join("coffer checkpoint 1", keys.repositoryId);
  const open = (entry: Buffer): CheckpointRecord => {
    const { fields, checkSigned } = openSigned(entry, place, keys, "a checkpoint");
    const record = parseRecord(fields);
    checkSigned(record.by.key);
    return record;
  };
  return devices
    .flatMap((device) => device.logs.get(id)?.entries ?? [])
    .flatMap((entry) => unlessRefused(() => open(entry), problems) ?? [])
    .reverse()
    .sort((a, b) => compareEntries(b.cut, a.cut) || b.hash.compare(a.hash));
}

function unlessRefused<T>(read: () => T, problems: Refused[]): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    problems.push(error);
    return undefined;
  }
}

function parseRecord(fields: Readonly<Record<string, unknown>>): CheckpointRecord {
  const [lamport, cutWriter, sequence, cutHash] = asArray(fields["cut"]);
  const [byWriter, byKey] = asArray(fields["by"]);
  const parts = asArray(fields["parts"]).map((id) => hex(asBytes(id, 32)));
  check(parts.length <= 64, `a checkpoint has ${parts.length} parts`);
  return {
    cut: {
      lamport: asNumber(lamport),
      writer: hex(asBytes(cutWriter, 16)),
      sequence: asNumber(sequence),
      hash: asBytes(cutHash, 32),
    },
    by: { writer: hex(asBytes(byWriter, 16)), key: asBytes(byKey, 32) },
    parts,
    size: asNumber(fields["size"]),
    hash: asBytes(fields["hash"], 32),
  };
}

function readSnapshot(
  { parts, size, hash }: CheckpointRecord,
  keys: Keys,
  blob: (id: string) => Buffer | undefined,
): Snapshot {
  const snapshot = Buffer.concat(
    parts.map((id) => {
      const bytes = blob(id);
      if (bytes === undefined) throw new Refused("missing", `part ${id} of a checkpoint is missing`);
      return openPart(bytes, keys);
    }),
  );
  check(snapshot.length === size, `a snapshot has ${snapshot.length} bytes instead of ${size}`);
  check(isSame(sha256(snapshot), hash), "a snapshot has another hash than its checkpoint says");
  return parseSnapshot(asMap(decodeCbor(snapshot)));
}

function openPart(blob: Buffer, keys: Keys): Buffer {
  const what = "a part of a checkpoint";
  const cursor = new Cursor(blob, what);
  check(cursor.take(4).toString("latin1") === "CFCP", `${what} begins with CFCP`);
  checkVersion(cursor.u8(), 1, what);
  const key = keys.key("checkpoint", cursor.u16());
  return openWhole(key, join("coffer checkpoint 1", keys.repositoryId), cursor.rest(), what);
}

function parseSnapshot(fields: Readonly<Record<string, unknown>>): Snapshot {
  checkVersion(fields["v"], 1, "a snapshot");
  const rows = (name: string): (readonly unknown[])[] => asArray(fields[name]).map(asArray);
  return {
    logs: new Map(
      rows("logs").map(([writer, count, head, covered, key, , limit]) => [
        hex(asBytes(writer, 16)),
        {
          count: asNumber(count),
          head: asBytes(head, 32),
          covered: asNumber(covered),
          key: asBytes(key, 32),
          limit: limit === null ? undefined : asNumber(limit),
        },
      ]),
    ),
    versions: rows("versions").map(([, , id, , , root]) => ({
      id: hex(asBytes(id, 32)),
      root: asBytes(root),
    })),
    tags: rows("tags").map(([name, version]) => [asText(name), asBytes(version, 32)]),
    held: asArray(fields["held"]).map((id) => asBytes(id, 32)),
    devices: asArray(fields["devices"]).map(asText),
    index: asArray(fields["index"]).map((id) => asBytes(id, 32)),
    condemned: rows("condemned").map(([id]) => asBytes(id, 32)),
    lost: rows("lost").map(([device, pack]) => [asText(device), asBytes(pack, 32)]),
  };
}

function checkCut({ cut, logs }: Checkpoint): void {
  const log = logs.get(cut.writer);
  check(log?.covered === cut.sequence + 1, "a checkpoint does not stand for its own cut");
}

/** Refuses a checkpoint that nobody signed who may, or that says something else than the logs that go on from it. */
export function checkBelieved({ cut, by }: Checkpoint, { entries, keys, ends }: VerifiedLogs): void {
  const key = keys.get(by.writer);
  check(key !== undefined && isSame(key, by.key), "a checkpoint is signed with another key than its maker's");
  check(!ends.has(by.writer), "a checkpoint's maker was revoked");
  const entry = entries.find(({ writer, sequence }) => writer === cut.writer && sequence === cut.sequence);
  check(entry === undefined || isSame(entry.hash, cut.hash), "a checkpoint's cut is another entry");
}
