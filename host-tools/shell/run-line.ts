// SPDX-License-Identifier: MIT
/** One line of the shell: words, then yargs with the one command that the line names, then the command. */

import yargs, { type Argv } from "yargs";
import type { GlobalOptions } from "../command-context";
import { Refusal } from "../refusal";
import { Output, formatTable } from "../render";
import type { RemoteSession } from "../remote-session";
import { arrangeWords } from "../word-order";
import { type ShellCommand, shellCommands } from "./shell-commands";

export interface LineContext {
  session: RemoteSession;
  /** Those of the `coffer shell` command: what its lines start from. */
  json: boolean;
  quiet: boolean;
}

/** Runs a line that has words. Returns true when it asks to leave. */
export async function runLine(words: readonly string[], context: LineContext): Promise<boolean> {
  const [name = "", ...rest] = words;
  if (name === "exit" || name === "quit") return true;
  if (name === "help" || name === "?") await help(rest[0], context);
  else await runCommand(find(name), rest, context);
  return false;
}

function find(name: string): ShellCommand {
  const command = shellCommands.get(name);
  if (command !== undefined) return command;
  const near = [...shellCommands.keys()].find((known) => known.startsWith(name) || name.startsWith(known));
  throw new Refusal("usage", `there is no command ${JSON.stringify(name)} here`, {
    hint:
      near === undefined
        ? "`help` shows the commands."
        : `Did you mean \`${near}\`? \`help\` shows the commands.`,
  });
}

async function runCommand(
  command: ShellCommand,
  words: readonly string[],
  context: LineContext,
): Promise<void> {
  const { session } = context;
  const name = command.command.split(" ", 1)[0] ?? "";
  const line = (yargs(arrangeWords([name, ...words])) as unknown as Argv<GlobalOptions>)
    .scriptName("")
    .parserConfiguration({ "parse-positional-numbers": false, "dot-notation": false })
    .option("json", {
      type: "boolean",
      default: context.json,
      describe: "Print results as JSON, one object a line",
    })
    .option("quiet", { type: "boolean", default: context.quiet, describe: "No remarks and no progress" })
    .version(false)
    .help()
    .alias("h", "help")
    .wrap(Math.min(110, process.stdout.columns || 110))
    .strict()
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      if (error !== undefined && error.name !== "YError") throw error;
      const text = (message ?? error?.message ?? "the line makes no sense").trim().replace(/\s*\n\s*/g, " ");
      throw new Refusal("usage", text.charAt(0).toLowerCase() + text.slice(1), {
        hint: `See \`help ${name}\`.`,
      });
    })
    .command({
      command: command.command,
      describe: command.describe,
      builder: async (inner: Argv) => command.build(inner as Argv<GlobalOptions>),
      handler: async (options) => {
        const { json, quiet } = options;
        await command.run(options, {
          session,
          output: new Output({ json, quiet }),
        });
      },
    });
  await line.parseAsync();
}

async function help(name: string | undefined, context: LineContext): Promise<void> {
  if (name !== undefined && name !== "help") {
    const command = find(name);
    await runCommand(command, ["--help"], context);
    return;
  }
  const rows = [...shellCommands.values()].map(({ command, describe }) => [`  ${command}`, describe]);
  const output = new Output({ json: false, quiet: false });
  output.line(formatTable(rows));
  output.line(
    "\nPaths with blanks need quotes or \\. `help COMMAND` tells more; Tab completes; Ctrl-C stops a command.",
  );
}
