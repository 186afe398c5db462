// SPDX-License-Identifier: MIT
/** Damage as `verify` and `repair` tell it: every finding a line, for scripts all of them, for people the first ones. */

import { formatBytes, printable, type Output } from "./render";
import type { DamageReport } from "./repository/repository";
import { plural } from "./transfer-progress";

/** More of one kind are counted. */
const MAX_SHOWN = 20;
const SHORT_ID = 16;

const states = {
  lost: "lost",
  reduced: "another device still has it",
  elsewhere: "only on a device that is not connected",
} as const;

export function printDamage(output: Output, damage: DamageReport): void {
  for (const log of damage.logs) {
    const where = log.device === "" ? "" : `${log.device}: `;
    output.result({ kind: "log", ...log }, `${where}${printable(log.text)}`);
  }
  listed(output, damage.packs, "damaged packs", (pack) => [
    { ...pack, kind: "pack", damage: pack.kind },
    `${pack.device}: pack ${pack.pack.slice(0, SHORT_ID)} is ${pack.kind} (${printable(pack.reason)}): ` +
      `${String(pack.damagedChunks)} of ${plural(pack.chunks, "chunk")}, ${plural(pack.files, "file")}`,
  ]);
  listed(output, damage.indexBlobs, "damaged index blobs", (blob) => [
    { ...blob, kind: "indexBlob", damage: blob.kind },
    `${blob.device}: index blob ${blob.blob.slice(0, SHORT_ID)} is ${blob.kind} (${printable(blob.reason)})`,
  ]);
  if (damage.unknownChunks > 0)
    output.line(`${plural(damage.unknownChunks, "chunk")} that are needed are in no pack that is known`);
  listed(
    output,
    damage.files,
    "damaged files",
    (file) => [
      { kind: "file", ...file },
      `${printable(file.path)}${file.type === "directory" && file.path !== "/" ? "/" : ""}  ` +
        `${formatBytes(file.sizeBytes)}  ${states[file.state]}  (${versionsOf(file)})`,
    ],
    damage.moreFiles,
  );
  listed(output, damage.versions, "versions with damaged files", (version) => [
    { kind: "version", ...version },
    `version ${version.id.slice(0, SHORT_ID)}, ${new Date(version.timeMs).toISOString()}, ` +
      `${printable(version.writer)}: ${plural(version.files, "damaged file")}`,
  ]);
}

function versionsOf(file: DamageReport["files"][number]): string {
  const current = file.isCurrent ? "the newest version" : `version ${file.newest.slice(0, SHORT_ID)}`;
  return file.versions === 1 ? current : `${current} and ${plural(file.versions - 1, "older one")}`;
}

function listed<Item>(
  output: Output,
  items: readonly Item[],
  what: string,
  describe: (item: Item) => [record: object, text: string],
  unnamed = 0,
): void {
  items.forEach((item, i) => {
    const [record, text] = describe(item);
    output.result(record, i < MAX_SHOWN ? text : undefined);
  });
  const hidden = Math.max(0, items.length - MAX_SHOWN) + unnamed;
  if (hidden > 0) output.line(`and ${String(hidden)} more ${what}`);
}

/** "2 packs and 1 log", for a sentence. */
export function summaryOf({ logs, packs, indexBlobs, files, moreFiles }: DamageReport): string {
  const lost = files.filter(({ state }) => state === "lost").length + moreFiles;
  const parts = [
    packs.length > 0 ? plural(packs.length, "damaged pack") : "",
    indexBlobs.length > 0 ? plural(indexBlobs.length, "damaged index blob") : "",
    logs.length > 0 ? plural(logs.length, "damaged log") : "",
    lost > 0 ? plural(lost, "lost file") : "",
  ].filter((part) => part !== "");
  return parts.length > 0 ? parts.join(", ") : "damage";
}
