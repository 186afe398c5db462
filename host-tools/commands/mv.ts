// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";

interface MvOptions extends GlobalOptions {
  from: string;
  to: string;
}

export const mvCommand: FileCommand<MvOptions> = {
  command: "mv <from> <to>",
  describe: "Move or rename a remote file or folder; nothing is sent again",
  completion: { arguments: ["remote", "remote", "none"] },
  builder: (yargs) =>
    yargs
      .positional("from", { type: "string", describe: "Remote file or folder", demandOption: true })
      .positional("to", {
        type: "string",
        describe: "Its new path, or the folder it goes into",
        demandOption: true,
      }),
  run: async (options, { output, session }) => {
    const from = session.remotePath(options.from);
    const to = session.remotePath(options.to);
    await (await session.repository()).move(from, to);
    output.result({ from, to, moved: true });
  },
};

export const command = standalone(mvCommand);
