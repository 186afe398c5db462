// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { versionCells, versionRecord } from "../listing/version-format";
import { Refusal } from "../refusal";
import { formatTable } from "../render";

interface LogOptions extends GlobalOptions {
  path: string | undefined;
  limit: number | undefined;
}

export const logCommand: FileCommand<LogOptions> = {
  command: "log [path]",
  describe: "List the versions, newest first; with PATH those that changed it",
  completion: {
    arguments: ["remote", "none"],
    options: ["--limit", "--json"],
    optionValues: { "--limit": "none" },
  },
  builder: (yargs) =>
    yargs
      .positional("path", { type: "string", describe: "Only versions in which this remote path changed" })
      .option("limit", { type: "number", requiresArg: true, describe: "At most so many" }),
  run: async ({ path, limit = Infinity }, { output, session }) => {
    if (!(limit >= 1)) throw new Refusal("usage", "--limit takes a number from 1 on");
    const repository = await session.repository();
    await repository.refresh();
    const rows: string[][] = [];
    const remote = path === undefined ? undefined : session.remotePath(path);
    let count = 0;
    for await (const version of repository.versions.log({ path: remote })) {
      if (output.json) output.result(versionRecord(version));
      else rows.push(versionCells(version));
      count += 1;
      if (count >= limit) break;
    }
    if (rows.length > 0) output.line(formatTable([["VERSION", "TIME", "BY", "SIZE", "CHANGE"], ...rows]));
    else if (count === 0) output.note("no versions");
  },
};

export const command = standalone(logCommand);
