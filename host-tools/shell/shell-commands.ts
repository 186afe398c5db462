// SPDX-License-Identifier: MIT
/** Every command of the shell's prompt, by name, in the order in which `help` shows them. */

import type { Argv, ArgumentsCamelCase } from "yargs";
import type { GlobalOptions } from "../command-context";
import { commandTable } from "../command-table";
import { dfCommand } from "../commands/df";
import { diffCommand } from "../commands/diff";
import { forgetCommand } from "../commands/forget";
import { keyCommand } from "../commands/key";
import { logCommand } from "../commands/log";
import { lsCommand } from "../commands/ls";
import { mkdirCommand } from "../commands/mkdir";
import { mvCommand } from "../commands/mv";
import { pruneCommand } from "../commands/prune";
import { pullCommand } from "../commands/pull";
import { pushCommand } from "../commands/push";
import { repairCommand } from "../commands/repair";
import { restoreCommand } from "../commands/restore";
import { rmCommand } from "../commands/rm";
import { rmdirCommand } from "../commands/rmdir";
import { statCommand } from "../commands/stat";
import { statusCommand } from "../commands/status";
import { tagCommand } from "../commands/tag";
import { verifyCommand } from "../commands/verify";
import type { FileCommand, FileCommandContext } from "../file-command";
import type { CompletableCommand } from "./complete";
import {
  cdCommand,
  cwdCommand,
  getCommand,
  lcdCommand,
  llsCommand,
  lpwdCommand,
  putCommand,
  pwdCommand,
} from "./place-commands";

/** A command with its option types forgotten: yargs checks them when it runs. */
export interface ShellCommand {
  /** Name and positionals. */
  command: string;
  describe: string;
  completion: CompletableCommand;
  build(yargs: Argv<GlobalOptions>): Argv<GlobalOptions> | Promise<Argv<GlobalOptions>>;
  run(options: ArgumentsCamelCase<GlobalOptions>, context: FileCommandContext): Promise<void>;
}

/** Commands of the command line that make sense here as they are. The others start servers or a shell. */
const sharedNames = ["device", "cert", "discover", "doctor", "init"];

const none: CompletableCommand = { arguments: ["none"], options: [], optionValues: {} };

export const shellCommands: ReadonlyMap<string, ShellCommand> = new Map(
  [
    remote(lsCommand),
    remote(cdCommand),
    remote(pwdCommand),
    remote(cwdCommand),
    remote(putCommand),
    remote(getCommand),
    remote(pushCommand),
    remote(pruneCommand),
    remote(pullCommand),
    remote(mkdirCommand),
    remote(rmdirCommand),
    remote(rmCommand),
    remote(mvCommand),
    remote(statCommand),
    remote(logCommand),
    remote(diffCommand),
    remote(restoreCommand),
    remote(tagCommand),
    remote(forgetCommand),
    remote(dfCommand),
    remote(verifyCommand),
    remote(repairCommand),
    remote(statusCommand),
    remote(keyCommand),
    remote(lcdCommand),
    remote(lpwdCommand),
    remote(llsCommand),
    ...sharedNames.flatMap(shared),
    builtIn("help [command]", "Show the commands, or what one of them does", ["command", "none"]),
    builtIn("exit", "Leave the shell; quit and Ctrl-D do so, too"),
    builtIn("quit", "The same as exit"),
  ].map((command) => [nameOf(command), command]),
);

export function nameOf({ command }: { command: string }): string {
  return command.split(" ", 1)[0] ?? command;
}

function remote<Options extends GlobalOptions>(file: FileCommand<Options>): ShellCommand {
  const { command, describe, completion } = file;
  return {
    command,
    describe,
    completion: { ...none, ...completion },
    build: (yargs) => file.builder(yargs),
    run: (options, context) => file.run(options as unknown as ArgumentsCamelCase<Options>, context),
  };
}

function shared(name: string): ShellCommand[] {
  const entry = commandTable.find((candidate) => nameOf(candidate) === name);
  if (entry === undefined) return [];
  const { command, describe, load } = entry;
  return [
    {
      command,
      describe,
      completion: none,
      build: async (yargs) => (await load()).build(yargs),
      // A home of the session's own is what every other command here uses.
      run: async (options, { session }) => (await load()).run({ ...options, home: session.state.home }),
    },
  ];
}

/** What the loop itself does; here so that help and completion know it. */
function builtIn(
  command: string,
  describe: string,
  kinds: CompletableCommand["arguments"] = ["none"],
): ShellCommand {
  return {
    command,
    describe,
    completion: { ...none, arguments: kinds },
    build: (yargs) => yargs,
    run: () => Promise.resolve(),
  };
}
