// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { Refusal } from "../refusal";
import { type Output, formatBytes } from "../render";
import type { PruneSummary } from "../repository/repository";

interface PruneCommandOptions extends GlobalOptions {
  "dry-run": boolean;
  "max-unused": string;
  hold: string | undefined;
}

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const MAX_HOLD_MS = 90 * 86_400_000;

export const pruneCommand: FileCommand<PruneCommandOptions> = {
  command: "prune",
  describe: "Free what no kept version needs",
  completion: { arguments: [], options: ["--dry-run", "--max-unused", "--hold", "--json"] },
  builder: (yargs) =>
    yargs
      .option("dry-run", { type: "boolean", default: false, describe: "Only say what it would free" })
      .option("max-unused", {
        type: "string",
        default: "5%",
        requiresArg: true,
        describe: "How much of the packs may stay unneeded",
      })
      .option("hold", {
        type: "string",
        requiresArg: true,
        describe:
          "Wait between condemning and deleting, as 30m, 1h, 1d (default: 0, with several writers 1h)",
      }),
  run: async (options, { output, session }) => {
    const maxUnused = parseShare(options["max-unused"]);
    const holdMs = options.hold === undefined ? undefined : parseHold(options.hold);
    const repository = await session.repository();
    const isDryRun = options["dry-run"];
    const progress = await output.progress("prune", 0);
    try {
      const report = await repository.prune({
        isDryRun,
        maxUnused,
        holdMs,
        onPlan: (plan) => {
          printPlan(output, plan);
          progress.setTotal(plan.repackedBytes);
        },
        onProgress: (doneBytes) => {
          progress.update(doneBytes);
        },
      });
      progress.stop();
      const condemnedBytes = report.deadBytes + report.repackedBytes + report.unreferencedBytes;
      const later =
        report.holdMs > 0 && condemnedBytes > 0
          ? ` Run it again in ${formatHold(report.holdMs)} to free ${formatBytes(condemnedBytes)} more.`
          : "";
      output.result(
        { dryRun: isDryRun, ...report },
        isDryRun
          ? "Nothing was changed."
          : `Freed ${formatBytes(report.freedBytes)} (${String(report.deletedBlobs)} blobs).${later}`,
      );
    } finally {
      progress.stop();
    }
  },
};

export const command = standalone(pruneCommand);

function printPlan(output: Output, plan: PruneSummary): void {
  const line = (what: string, packs: number, bytes: number): string =>
    `${what}: ${formatBytes(bytes)} in ${String(packs)} ${packs === 1 ? "pack" : "packs"}`;
  const goesNow = plan.holdMs === 0;
  output.note(line("Needed by nothing", plan.deadPacks, plan.deadBytes));
  output.note(
    `${line("To be put together anew", plan.repackedPacks, plan.repackedBytes)}, of which ${formatBytes(plan.keptOfRepackedBytes)} is needed`,
  );
  output.note(
    `Left by interrupted pushes: ${formatBytes(plan.unreferencedBytes)} in ${String(plan.unreferencedBlobs)} ${plan.unreferencedBlobs === 1 ? "blob" : "blobs"}`,
  );
  if (plan.condemnedPacks > 0)
    output.note(line("Condemned earlier", plan.condemnedPacks, plan.condemnedBytes));
  const frees = plan.deadBytes + plan.repackedBytes - plan.keptOfRepackedBytes + plan.unreferencedBytes;
  output.note(
    `That frees ${formatBytes(frees + plan.condemnedBytes)} of ${formatBytes(plan.packBytes + plan.condemnedBytes + plan.unreferencedBytes)}` +
      (goesNow ? "" : `, what is newly found in ${formatHold(plan.holdMs)} at the earliest`),
  );
}

function parseShare(text: string): number {
  const match = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text);
  const percent = Number(match?.[1] ?? Number.NaN);
  if (!(percent >= 0 && percent <= 100))
    throw new Refusal("usage", `--max-unused has to be a percentage, not ${JSON.stringify(text)}`, {
      hint: "For example --max-unused 10%.",
    });
  return percent / 100;
}

function parseHold(text: string): number {
  const match = /^(\d{1,6})([smhd]?)$/.exec(text);
  const unit = match?.[2] === "" && match[1] === "0" ? 1 : UNITS[match?.[2] ?? ""];
  const holdMs = Number(match?.[1]) * (unit ?? Number.NaN);
  if (!(holdMs >= 0 && holdMs <= MAX_HOLD_MS))
    throw new Refusal("usage", `--hold has to be a time up to 90d, not ${JSON.stringify(text)}`, {
      hint: "For example --hold 30m, --hold 1d or --hold 0.",
    });
  return holdMs;
}

function formatHold(ms: number): string {
  for (const [unit, name] of [
    ["d", "day"],
    ["h", "hour"],
    ["m", "minute"],
  ] as const) {
    const count = ms / (UNITS[unit] ?? 1);
    if (count >= 1) return `${String(Math.ceil(count))} ${name}${Math.ceil(count) === 1 ? "" : "s"}`;
  }
  return `${String(Math.ceil(ms / 1000))} seconds`;
}
