// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";

interface RmdirOptions extends GlobalOptions {
  path: string[];
}

export const rmdirCommand: FileCommand<RmdirOptions> = {
  command: "rmdir <path..>",
  describe: "Remove empty remote folders",
  completion: { arguments: ["remoteFolder"] },
  builder: (yargs) =>
    yargs.positional("path", {
      type: "string",
      array: true,
      describe: "Empty remote folders",
      demandOption: true,
    }),
  run: async ({ path }, { output, session }) => {
    const repository = await session.repository();
    for (const remote of path.map((typed) => session.remotePath(typed))) {
      await repository.removeDirectory(remote);
      output.result({ path: remote, removed: true });
    }
  },
};

export const command = standalone(rmdirCommand);
