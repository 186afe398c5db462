// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { printDamage, summaryOf } from "../damage-report";
import { type FileCommand, standalone } from "../file-command";
import { readDataOption, readPercent } from "../read-percent";
import { Refusal } from "../refusal";
import { type Output, formatBytes, printable } from "../render";
import type { RepairReport } from "../repository/repository";
import { TransferProgress, formatSeconds, plural } from "../transfer-progress";

interface RepairCommandOptions extends GlobalOptions {
  path: string[] | undefined;
  "dry-run": boolean;
  "read-data": string | undefined;
}

export const repairCommand: FileCommand<RepairCommandOptions> = {
  command: "repair [path..]",
  describe: "Store again what is damaged: from other devices, this computer's cache, or local files",
  completion: { arguments: ["local"], options: ["--dry-run", "--read-data", "--json", "--quiet"] },
  builder: (yargs) =>
    yargs
      .positional("path", {
        type: "string",
        array: true,
        describe: "Local files and folders that may still have what is lost",
      })
      .option("dry-run", {
        type: "boolean",
        default: false,
        describe: "Tell what would be done, and do nothing",
      })
      .option("read-data", readDataOption)
      .example("$0 repair photos --device attic,cellar", "what verify found, from cellar, attic or photos"),
  run: async (options, { output, session }) => {
    const percent = readPercent(options["read-data"]);
    const paths = (options.path ?? []).map((path) => session.localPath(path));
    const repository = await session.repository();
    const progress = new TransferProgress(output, "repair");
    try {
      const report = await repository.repair({
        paths,
        isDryRun: options["dry-run"],
        readPercent: percent,
        onProgress: progress.onProgress,
      });
      progress.stop();
      printReport(output, report);
    } finally {
      progress.stop();
    }
  },
};

export const command = standalone(repairCommand);

function printReport(output: Output, report: RepairReport): void {
  for (const { path, reason } of report.problems) output.warn(`${printable(path)}: ${printable(reason)}`);
  const { remaining, problems: _, ...summary } = report;
  printDamage(output, remaining);
  if (report.elsewhereChunks > 0)
    output.warn(
      `${plural(report.elsewhereChunks, "chunk")} are left on devices that are not connected: repair again with them`,
    );
  output.result({ kind: "summary", ...summary }, output.quiet ? undefined : textOf(report));
  if (report.isWhole) return;
  throw new Refusal("damageFound", `some damage cannot be repaired: ${summaryOf(remaining)}`, {
    hint: "Connect other devices that may have it, or name local files and folders that still do, and repair again. What nobody has is gone; a new push stores files as they are now.",
  });
}

function textOf(report: RepairReport): string {
  const damaged = report.damagedPacks + report.damagedIndexBlobs;
  const done = [
    report.copiedPacks > 0 ? `${plural(report.copiedPacks, "pack")} copied from another device` : "",
    report.restoredIndexBlobs > 0 ? `${plural(report.restoredIndexBlobs, "index blob")} restored` : "",
    report.rebuiltChunks > 0 ? `${plural(report.rebuiltChunks, "chunk")} rebuilt` : "",
    report.remadeChunks > 0 ? `${plural(report.remadeChunks, "chunk")} made again from local files` : "",
    report.lostChunks > 0 ? `${plural(report.lostChunks, "chunk")} lost` : "",
  ].filter((part) => part !== "");
  const found = damaged === 0 ? "no damaged pack found" : `found ${plural(damaged, "damaged blob")}`;
  if (done.length === 0) return found;
  const what = `${found}: ${done.join(", ")}`;
  if (report.isDryRun) return `would repair (nothing was changed): ${what}`;
  return `${what} (${formatBytes(report.storedBytes + report.copiedBytes)}, ${formatSeconds(report.seconds)})`;
}
