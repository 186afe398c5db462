// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";

interface MkdirOptions extends GlobalOptions {
  path: string[];
  parents: boolean;
}

export const mkdirCommand: FileCommand<MkdirOptions> = {
  command: "mkdir <path..>",
  describe: "Make remote folders",
  completion: { arguments: ["remoteFolder"], options: ["-p", "--parents"] },
  builder: (yargs) =>
    yargs
      .positional("path", {
        type: "string",
        array: true,
        describe: "Remote folders to make",
        demandOption: true,
      })
      .option("parents", {
        alias: "p",
        type: "boolean",
        default: false,
        describe: "Also the folders above; one that is there is no error",
      }),
  run: async ({ path, parents }, { output, session }) => {
    const repository = await session.repository();
    for (const remote of path.map((typed) => session.remotePath(typed))) {
      await repository.makeDirectory(remote, { parents });
      output.result({ path: remote, made: true });
    }
  },
};

export const command = standalone(mkdirCommand);
