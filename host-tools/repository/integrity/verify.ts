// SPDX-License-Identifier: MIT
/** What an examination found, put together for a person or a script. */

import { DataError } from "../../../firmware/protocol/data-error";
import { contentItems } from "../content";
import type { Progress } from "../repository-api";
import { chunkKey } from "../chunk-fetcher";
import type { RepositoryParts } from "../repository-parts";
import { ChunkKind } from "../repository-keys";
import type { ChunkState, DamageKind, LogDamage, PackDamage } from "./damage";
import { type ExaminedDevice, Examination } from "./examination";
import { DamageSurvey, type FileDamage, type VersionDamage } from "./survey";

export interface VerifyOptions {
  /** How many of a hundred packs are downloaded and opened; 0: none. */
  readPercent?: number | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export interface PackFinding {
  device: string;
  /** Hexadecimal. */
  pack: string;
  kind: DamageKind;
  reason: string;
  chunks: number;
  /** Of them; all when the pack was not read. */
  damagedChunks: number;
  /** Different files, of all versions, that need them. */
  files: number;
}

export interface IndexBlobFinding {
  device: string;
  blob: string;
  kind: DamageKind;
  reason: string;
}

export interface DamageReport {
  logs: LogDamage[];
  packs: PackFinding[];
  indexBlobs: IndexBlobFinding[];
  files: FileDamage[];
  /** Damaged files beyond those that are named. */
  moreFiles: number;
  versions: VersionDamage[];
  /** Needed and in no pack that the index knows: an index blob is lost. */
  unknownChunks: number;
}

export interface VerifyReport {
  isWhole: boolean;
  versions: number;
  entries: number;
  /** Different ones, of all versions. */
  folders: number;
  files: number;
  /** Chunks that some version needs. */
  chunks: number;
  /** Of them only on devices that are not connected: nothing was said of them. */
  uncheckedChunks: number;
  devices: ExaminedDevice[];
  readPercent: number;
  receivedBytes: number;
  seconds: number;
  damage: DamageReport;
}

export async function verify(parts: RepositoryParts, options: VerifyOptions): Promise<VerifyReport> {
  const started = performance.now();
  const { readPercent = 0, onProgress } = options;
  const examination = await Examination.run(parts, { readPercent, onProgress });
  const damage = await reportDamage(parts, examination);
  const { walk, versions, devices, receivedBytes } = examination;
  return {
    isWhole: isWhole(damage),
    versions: versions.length,
    entries: [...parts.logs.logs.values()].reduce((count, log) => count + log.count, 0),
    folders: walk.folders,
    files: walk.files,
    chunks: walk.referenced.count + walk.unknown.size,
    uncheckedChunks: walk.elsewhere,
    devices,
    readPercent,
    receivedBytes,
    seconds: (performance.now() - started) / 1000,
    damage,
  };
}

export function isWhole({ logs, packs, indexBlobs, files, unknownChunks }: DamageReport): boolean {
  return logs.length + packs.length + indexBlobs.length + files.length + unknownChunks === 0;
}

export async function reportDamage(parts: RepositoryParts, examination: Examination): Promise<DamageReport> {
  const { damage, indexDamage, logDamage, places, walk, versions, trees, reader } = examination;
  const stateOf = (kind: ChunkKind, id: Uint8Array, onDamage?: (damage: PackDamage) => void): ChunkState => {
    if (parts.index.entryOf(id) === undefined && trees.pending.has(chunkKey(id))) return "good";
    const found: PackDamage[] = [];
    const state = places.state(kind, id, (damage) => found.push(damage));
    for (const damage of found) onDamage?.(damage);
    // On a device that is not connected, and nothing says that it is not good there.
    return state === "elsewhere" && found.length === 0 ? "good" : state;
  };
  const { index, options } = parts;
  const survey = await new DamageSurvey({ trees, reader, index, stateOf, signal: options.signal }).run(
    examination.isWhole ? [] : versions,
  );
  return {
    logs: [...logDamage, ...(await lostDetails(parts, stateOf))],
    packs: damage.all().map((found) => ({
      device: found.device,
      pack: hex(found.pack.id),
      kind: found.kind,
      reason: found.reason,
      chunks: found.pack.chunkCount,
      damagedChunks: found.badChunks?.size ?? found.pack.chunkCount,
      files: survey.filesOf.get(found) ?? 0,
    })),
    indexBlobs: indexDamage.map(({ device, id, kind, reason }) => ({ device, blob: hex(id), kind, reason })),
    files: survey.files,
    moreFiles: survey.moreFiles,
    versions: survey.versions,
    unknownChunks: walk.unknown.size,
  };
}

/** Entries that keep what they changed in chunks that are lost: the state that they led to is not. */
export async function lostDetails(
  { logs }: RepositoryParts,
  stateOf: (kind: ChunkKind, id: Uint8Array) => ChunkState,
): Promise<LogDamage[]> {
  const lost: LogDamage[] = [];
  const noLists = (): Promise<Uint8Array> => Promise.reject(new DataError("type", "a list in a log entry"));
  for (const log of logs.logs.values())
    for (const { detail, sequence } of log.uncovered) {
      if (detail instanceof Uint8Array) continue;
      for await (const items of contentItems(detail.content, detail.sizeBytes, noLists))
        if (items.some(({ id }) => id && stateOf(ChunkKind.detail, id) === "lost"))
          lost.push({
            device: "",
            text: `what entry ${String(sequence)} of the log of ${log.name} changed is lost`,
          });
    }
  return lost;
}

function hex(id: Uint8Array): string {
  return Buffer.from(id).toString("hex");
}
