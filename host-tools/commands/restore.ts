// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { printable } from "../render";
import { atOption } from "../version-option";

interface RestoreOptions extends GlobalOptions {
  path: string;
  at: string;
  to: string | undefined;
}

export const restoreCommand: FileCommand<RestoreOptions> = {
  command: "restore <path>",
  describe: "Make a remote path again what it was in an older version, as a new version",
  completion: {
    arguments: ["remote", "none"],
    options: ["--at", "--to", "--json"],
    optionValues: { "--at": "none", "--to": "remote" },
  },
  builder: (yargs) =>
    yargs
      .positional("path", {
        type: "string",
        describe: "Remote file or folder, / for all",
        demandOption: true,
      })
      .option("at", { ...atOption, demandOption: true })
      .option("to", {
        type: "string",
        requiresArg: true,
        describe: "Another remote path, at which nothing is (default: its own)",
      })
      .example(
        "$0 restore photos --at yesterday",
        "photos is again what it was; later changes stay in the log",
      )
      .example("$0 restore a.txt --at v1 --to a-old.txt", "beside what is there now"),
  run: async (options, { output, session }) => {
    const repository = await session.repository();
    await repository.refresh();
    const { id, shortId } = await repository.versions.find(options.at);
    // The latest version may lack what another computer wrote at the same time; "latest" does not.
    const at = options.at === "latest" ? "latest" : id;
    const path = session.remotePath(options.path);
    const to = options.to === undefined ? undefined : session.remotePath(options.to);
    const isChanged = await repository.versions.restore(path, { at, to });
    const target = printable(to ?? path);
    output.result(
      { path, to: to ?? path, version: id, isChanged },
      isChanged ? `${target} is as in version ${shortId}` : `${target} was as in version ${shortId} already`,
    );
  },
};

export const command = standalone(restoreCommand);
