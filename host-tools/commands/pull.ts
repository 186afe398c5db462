// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, type FileCommandContext, standalone } from "../file-command";
import { reportProblems } from "../problems";
import { Refusal } from "../refusal";
import { type Output, formatBytes, printable } from "../render";
import type { PullOptions, PullReport } from "../repository/repository";
import { remoteName } from "../shell/remote-path";
import { TransferProgress, countsOf, formatSeconds } from "../transfer-progress";
import { atOption, resolveAt } from "../version-option";

type Overwrite = NonNullable<PullOptions["overwrite"]>;
const overwriteChoices = ["always", "newer", "never"] as const satisfies readonly Overwrite[];
const defaultOverwrite: Overwrite = "always";

interface PullCommandOptions extends GlobalOptions {
  remote: string;
  to: string | undefined;
  overwrite: Overwrite;
  at: string | undefined;
}

export const pullCommand: FileCommand<PullCommandOptions> = {
  command: "pull <remote>",
  describe: "Fetch a file or folder",
  completion: {
    arguments: ["remote", "none"],
    options: ["--to", "--overwrite", "--at", "--json", "--quiet"],
    optionValues: { "--to": "local", "--overwrite": "none", "--at": "none" },
  },
  builder: (yargs) =>
    yargs
      .positional("remote", { type: "string", describe: "Remote file or folder", demandOption: true })
      .option("to", {
        type: "string",
        requiresArg: true,
        describe: "Becomes the pulled file or folder itself (default: its name, here)",
      })
      .option("overwrite", {
        choices: overwriteChoices,
        default: defaultOverwrite,
        describe: "What happens to local files that differ",
      })
      .option("at", atOption)
      .example("$0 pull photos", "becomes ./photos")
      .example("$0 pull photos/2024 --to /tmp/restored", "becomes /tmp/restored")
      .example("$0 pull photos --at '3 days ago' --to old-photos", "as it was then"),
  run: async ({ remote, to, overwrite, at }, context) => {
    await pullTo(remote, to, { overwrite, at }, context);
  },
};

export const command = standalone(pullCommand);

export async function pullTo(
  path: string,
  localPath: string | undefined,
  { overwrite, at: spec }: { overwrite: Overwrite; at: string | undefined },
  { output, session }: FileCommandContext,
): Promise<void> {
  const remote = session.remotePath(path);
  const name = remoteName(remote);
  if (localPath === undefined && name === "")
    throw new Refusal("usage", "everything has no name of its own to be pulled under", {
      hint: "Say where it goes, for example `--to everything`.",
    });
  const to = session.localPath(localPath ?? name);
  const repository = await session.repository();
  const at = await resolveAt(repository, spec, output);
  const progress = new TransferProgress(output, "pull");
  try {
    const report = await repository.pull({ remote, to, at, overwrite, onProgress: progress.onProgress });
    progress.stop();
    printReport(output, report, remote, to);
  } finally {
    progress.stop();
  }
}

function printReport(output: Output, report: PullReport, remote: string, to: string): void {
  const speed = report.seconds > 0 ? `, ${formatBytes(report.bytes / report.seconds)}/s` : "";
  const skipped = report.skippedFiles > 0 ? `, ${String(report.skippedFiles)} were there already` : "";
  output.result(
    { ...report, remote, to },
    output.quiet
      ? undefined
      : `fetched ${printable(remote)} to ${printable(to)}: ${countsOf(report)}, ${formatBytes(report.bytes)}` +
          ` (${formatSeconds(report.seconds)}${speed}${skipped})`,
  );
  reportProblems(output, report.problems, "written");
}
