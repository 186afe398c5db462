// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { formatMoment, versionRecord } from "../listing/version-format";
import { Refusal } from "../refusal";
import { formatTable, printable } from "../render";
import type { ForgetPolicy, ForgetReport, VersionInfo } from "../repository/repository";
import { plural } from "../transfer-progress";

interface ForgetCommandOptions extends GlobalOptions {
  versions: string[];
  "keep-last": number | undefined;
  "keep-daily": number | undefined;
  "keep-weekly": number | undefined;
  "keep-monthly": number | undefined;
  "keep-yearly": number | undefined;
  "keep-tag": string[] | undefined;
  "dry-run": boolean;
}

const numbers = ["last", "daily", "weekly", "monthly", "yearly"] as const;

export const forgetCommand: FileCommand<ForgetCommandOptions> = {
  command: "forget [versions..]",
  describe: "Forget versions: those named, or all that a policy does not keep",
  completion: {
    arguments: ["none"],
    options: [...numbers.map((name) => `--keep-${name}`), "--keep-tag", "--dry-run", "--json"],
    optionValues: Object.fromEntries([...numbers, "tag"].map((name) => [`--keep-${name}`, "none"])),
  },
  builder: (yargs) =>
    yargs
      .positional("versions", {
        type: "string",
        array: true,
        default: [],
        describe: "Versions, by id or time",
      })
      .option("keep-last", keepOption("Keep the newest N versions"))
      .option("keep-daily", keepOption("Keep the newest version of each of the last N days that have one"))
      .option("keep-weekly", keepOption("The same for weeks, from Monday on"))
      .option("keep-monthly", keepOption("The same for months"))
      .option("keep-yearly", keepOption("The same for years"))
      .option("keep-tag", {
        type: "string",
        array: true,
        nargs: 1,
        requiresArg: true,
        describe:
          "Keep versions with this tag, or `any`; tagged ones are never forgotten, so this lets go of the others",
      })
      .option("dry-run", { type: "boolean", default: false, describe: "Only say what would be forgotten" })
      .example(
        "$0 forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12",
        "a policy, without asking for names",
      ),
  run: async (options, { output, session }) => {
    const policy = policyOf(options);
    if ((policy === undefined) === (options.versions.length === 0))
      throw new Refusal("usage", "name the versions to forget, or say what to keep, one of the two", {
        hint: "For example `coffer forget --keep-daily 7 --keep-monthly 12 --dry-run`.",
      });
    const isDryRun = options["dry-run"];
    const repository = await session.repository();
    const report = await repository.versions.forget({ versions: options.versions, policy, isDryRun });
    if (output.json)
      printRecords(report, isDryRun, (record) => {
        output.result(record);
      });
    else if (report.kept.length + report.forgotten.length > 0) output.line(formatTable(tableOf(report)));
    const count = plural(report.forgotten.length, "version");
    if (isDryRun) output.note(`${count} would be forgotten; nothing was changed`);
    else if (report.forgotten.length === 0) output.note("nothing to forget");
    else output.note(`${count} forgotten. That frees no room by itself: run \`coffer prune\``);
  },
};

export const command = standalone(forgetCommand);

function keepOption(describe: string): { type: "number"; requiresArg: true; describe: string } {
  return { type: "number", requiresArg: true, describe };
}

/** undefined when nothing is said about what to keep. */
function policyOf(options: ForgetCommandOptions): ForgetPolicy | undefined {
  const policy: ForgetPolicy = {};
  for (const name of numbers) {
    const count = options[`keep-${name}`];
    if (count === undefined) continue;
    if (!Number.isSafeInteger(count) || count < 1)
      throw new Refusal("usage", `--keep-${name} takes a whole number from 1 on`);
    policy[name] = count;
  }
  const tags = options["keep-tag"]?.flatMap((names) => names.split(",")).filter((name) => name !== "");
  if (tags !== undefined) policy.tags = tags;
  return Object.keys(policy).length > 0 ? policy : undefined;
}

function tableOf({ kept, forgotten }: ForgetReport): string[][] {
  const row = (action: string, version: VersionInfo, reasons: readonly string[]): string[] => [
    action,
    version.shortId,
    formatMoment(version.timeMs),
    printable(version.writer),
    reasons.map(printable).join(", "),
  ];
  return [
    ["", "VERSION", "TIME", "BY", "KEPT AS"],
    ...kept.map(({ version, reasons }) => row("keep", version, reasons)),
    ...forgotten.map((version) => row("forget", version, [])),
  ];
}

function printRecords(report: ForgetReport, isDryRun: boolean, print: (record: object) => void): void {
  for (const { version, reasons } of report.kept)
    print({ action: "keep", reasons, ...versionRecord(version) });
  for (const version of report.forgotten) print({ action: "forget", ...versionRecord(version) });
  print({ summary: { kept: report.kept.length, forgotten: report.forgotten.length, isDryRun } });
}
