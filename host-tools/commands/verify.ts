// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { printDamage, summaryOf } from "../damage-report";
import { type FileCommand, standalone } from "../file-command";
import { readDataOption, readPercent } from "../read-percent";
import { Refusal } from "../refusal";
import { type Output, formatBytes } from "../render";
import type { VerifyReport } from "../repository/repository";
import { TransferProgress, formatSeconds, plural } from "../transfer-progress";

interface VerifyCommandOptions extends GlobalOptions {
  "read-data": string | undefined;
}

export const verifyCommand: FileCommand<VerifyCommandOptions> = {
  command: "verify",
  describe: "Prove that everything is stored where it should be, with --read-data byte by byte",
  completion: { arguments: ["none"], options: ["--read-data", "--json", "--quiet"] },
  builder: (yargs) =>
    yargs
      .option("read-data", readDataOption)
      .example("$0 verify", "logs, folders, and that every pack is there; downloads no files")
      .example("$0 verify --read-data=5", "the same, and reads 5 of 100 packs, others each time"),
  run: async (options, { output, session }) => {
    const percent = readPercent(options["read-data"]);
    const repository = await session.repository();
    const progress = new TransferProgress(output, "verify");
    try {
      const report = await repository.verify({ readPercent: percent, onProgress: progress.onProgress });
      progress.stop();
      printReport(output, report);
    } finally {
      progress.stop();
    }
  },
};

export const command = standalone(verifyCommand);

function printReport(output: Output, report: VerifyReport): void {
  const { damage, devices, ...summary } = report;
  for (const device of devices) {
    const read =
      device.readPacks > 0
        ? `; read ${String(device.readPacks)} of them, ${formatBytes(device.readBytes)}`
        : "";
    const extra =
      device.unreferenced > 0
        ? `\n${device.name}: ${plural(device.unreferenced, "unreferenced blob")}, ${formatBytes(device.unreferencedBytes)}: left by an interrupted push or given up by a repair`
        : "";
    output.result(
      { kind: "device", ...device },
      output.quiet
        ? undefined
        : `${device.name}: ${plural(device.packs, "pack")}, ${formatBytes(device.packBytes)}${read}${extra}`,
    );
  }
  printDamage(output, damage);
  if (report.uncheckedChunks > 0)
    output.warn(
      `${plural(report.uncheckedChunks, "chunk")} are only on devices that are not connected: nothing is said of them`,
    );
  const size = `${plural(report.versions, "version")}, ${plural(report.folders, "folder")}, ${plural(report.files, "file")}, ${plural(report.chunks, "chunk")}`;
  const data = report.readPercent === 0 ? "; file data was not read (--read-data does)" : "";
  const text = `whole: ${size}, ${String(report.entries)} log entries, in ${formatSeconds(report.seconds)}${data}`;
  output.result({ kind: "summary", ...summary }, report.isWhole && !output.quiet ? text : undefined);
  if (report.isWhole) return;
  throw new Refusal("damageFound", `the repository is not whole: ${summaryOf(damage)}`, {
    hint:
      damage.packs.length + damage.indexBlobs.length + damage.files.length > 0
        ? "Connect every device that may have good copies, and run `coffer repair` with the local files and folders that are still there."
        : "A log on a device cannot be repaired: replace the card, or use another device, and push again. Other devices and this computer still have the entries.",
  });
}
