// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";

interface RmOptions extends GlobalOptions {
  path: string[];
  recursive: boolean;
}

export const rmCommand: FileCommand<RmOptions> = {
  command: "rm <path..>",
  describe: "Remove remote files, with -r folders and all in them",
  completion: { arguments: ["remote"], options: ["-r", "--recursive"] },
  builder: (yargs) =>
    yargs
      .positional("path", {
        type: "string",
        array: true,
        describe: "Remote files and folders",
        demandOption: true,
      })
      .option("recursive", {
        alias: "r",
        type: "boolean",
        default: false,
        describe: "Folders and all in them, too",
      }),
  run: async ({ path, recursive }, { output, session }) => {
    const repository = await session.repository();
    for (const remote of path.map((typed) => session.remotePath(typed))) {
      await repository.remove(remote, { recursive });
      output.result({ path: remote, removed: true });
    }
  },
};

export const command = standalone(rmCommand);
