// SPDX-License-Identifier: MIT
import { basename } from "node:path";
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { type Output, formatBytes, printable } from "../render";
import { reportProblems } from "../problems";
import type { PushReport } from "../repository/repository";
import { TransferProgress, countsOf, formatSeconds } from "../transfer-progress";

interface PushOptions extends GlobalOptions {
  path: string[];
  to: string | undefined;
  force: boolean;
}

export const pushCommand: FileCommand<PushOptions> = {
  command: "push <path..>",
  describe: "Store files and folders, each under its own name",
  completion: {
    arguments: ["local"],
    options: ["--to", "--force", "--json", "--quiet"],
    optionValues: { "--to": "remoteFolder" },
  },
  builder: (yargs) =>
    yargs
      .positional("path", {
        type: "string",
        array: true,
        describe: "Local files and folders",
        demandOption: true,
      })
      .option("to", {
        type: "string",
        requiresArg: true,
        describe: "Remote folder to put them in; made when missing (default: the top)",
      })
      .option("force", {
        type: "boolean",
        default: false,
        describe: "Read every file again, also unchanged ones",
      })
      .example("$0 push photos notes.txt", "become /photos and /notes.txt")
      .example("$0 push photos --to backup", "becomes /backup/photos"),
  run: async (options, { output, session }) => {
    const sources = options.path.map((path) => session.localPath(path));
    const to = session.remotePath(options.to ?? ".");
    const repository = await session.repository();
    const progress = new TransferProgress(output, "push");
    try {
      const report = await repository.push({
        sources,
        to,
        force: options.force,
        onProgress: progress.onProgress,
      });
      progress.stop();
      printReport(output, report, sources, to);
    } finally {
      progress.stop();
    }
  },
};

export const command = standalone(pushCommand);

function printReport(output: Output, report: PushReport, sources: readonly string[], to: string): void {
  const what = sources.length === 1 ? basename(sources[0] ?? "") : `${String(sources.length)} things`;
  const where = to === "/" ? "" : ` in ${printable(to)}`;
  const speed = report.seconds > 0 ? `, ${formatBytes(report.bytes / report.seconds)}/s` : "";
  const news = report.isChanged
    ? `${formatBytes(report.storedBytes)} new, ${formatSeconds(report.seconds)}${speed}`
    : "nothing new";
  output.result(
    { ...report, to },
    output.quiet
      ? undefined
      : `stored ${printable(what)}${where}: ${countsOf(report)}, ${formatBytes(report.bytes)} (${news})`,
  );
  reportProblems(output, report.problems, "stored");
}
