// SPDX-License-Identifier: MIT
/** The entry point of `coffer`: reads the command line, runs one command, and turns what goes wrong into a sentence. */

import yargs, { type Argv } from "yargs";
import { commandTable } from "./command-table";
import type { GlobalOptions } from "./command-context";
import { ExitStatus } from "./exit-status";
import { watchSignals } from "./interruption";
import packageJson from "./package.json" with { type: "json" };
import { Refusal, describeRefusal, fromFileError } from "./refusal";
import { inSources } from "./source-positions";
import { arrangeWords } from "./word-order";

export async function main(words: readonly string[]): Promise<number> {
  watchSignals();
  try {
    await commandLine(words).parseAsync();
    return ExitStatus.ok;
  } catch (error) {
    return report(error, words);
  }
}

function commandLine(words: readonly string[]): Argv<GlobalOptions> {
  const line = yargs(arrangeWords(words))
    .scriptName("coffer")
    .locale("en")
    .updateStrings(messages)
    // File names are not numbers, and "--a.b" is no object.
    .parserConfiguration({ "parse-positional-numbers": false, "dot-notation": false })
    .usage("$0 COMMAND\n\nAn encrypted drive whose disks are your own devices.")
    .option("json", {
      type: "boolean",
      default: false,
      global: true,
      describe: "Print results as JSON, one object a line",
    })
    .option("quiet", {
      type: "boolean",
      default: false,
      global: true,
      describe: "No remarks and no progress",
    })
    .option("home", {
      type: "string",
      global: true,
      requiresArg: true,
      describe: "State folder (default: $COFFER_HOME, else the platform's configuration folder)",
    })
    .group(["json", "quiet", "home", "help", "version"], "For every command:")
    .version(packageJson.version)
    .help()
    .alias("h", "help")
    .epilogue("Exit statuses and what each command does in detail: docs/cli.md.")
    .wrap(Math.min(110, process.stdout.columns || 110))
    .strict()
    .strictCommands()
    .check(
      (values, definitions) => refuseRepeated(values, definitions as unknown as { array: string[] }),
      true,
    )
    .recommendCommands()
    .demandCommand(1, 1, "Which command?", "Which command?")
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? wrongUsage(message ?? "the command line makes no sense", words);
    });
  for (const { command, describe, load } of commandTable)
    line.command({
      command,
      describe,
      // The empty group puts a command's own options before those that every command takes.
      builder: async (inner: Argv) =>
        (await (await load()).build(inner as Argv<GlobalOptions>)).group([], "Options:"),
      handler: async (options) => (await load()).run(options),
    });
  return line;
}

/** `--relay A --relay B` would make a list of what is meant to be one value. */
function refuseRepeated(values: Record<string, unknown>, { array }: { array: readonly string[] }): true {
  for (const [name, value] of Object.entries(values))
    if (name !== "_" && Array.isArray(value) && !array.includes(name))
      throw new Refusal("usage", `--${name} is given more than once`);
  return true;
}

/** yargs in our words; each is completed to a sentence by `report`. */
const messages = {
  "Did you mean %s?": "there is no such command; did you mean %s?",
};

/** The command that a wrong line was meant for, so that the hint can name it. */
function commandWords(words: readonly string[]): string[] {
  const first = words[0];
  return commandTable.some(({ command }) => command.split(" ")[0] === first) && first !== undefined
    ? [first]
    : [];
}

function wrongUsage(message: string, words: readonly string[]): Refusal {
  const hint = `See \`${["coffer", ...commandWords(words)].join(" ")} --help\`.`;
  return new Refusal("usage", sentence(message), { hint });
}

/** yargs writes some messages over several lines; a refusal is one sentence. */
function sentence(message: string): string {
  if (message.startsWith("Not enough non-option arguments")) return "a word is missing on the command line";
  if (message.startsWith("Too many non-option arguments"))
    return "there are too many words on the command line";
  const line = message.trim().replace(/\s*\n\s*/g, " ");
  return line.charAt(0).toLowerCase() + line.slice(1);
}

/** Prints what went wrong to stderr and returns the exit status. */
function report(thrown: unknown, words: readonly string[]): number {
  // yargs throws some of its own past its `fail`.
  const isUsage = thrown instanceof Error && thrown.name === "YError";
  const error = isUsage
    ? wrongUsage(thrown.message, words)
    : fromFileError(thrown, "a local file cannot be used");
  const isJson = words.includes("--json");
  if (error instanceof Refusal) {
    if (isJson) process.stderr.write(`${JSON.stringify(describeRefusal(error))}\n`);
    else {
      process.stderr.write(`coffer: error: ${error.message}\n`);
      if (error.hint !== undefined) process.stderr.write(`coffer: hint: ${error.hint}\n`);
    }
    return error.status;
  }
  const text = error instanceof Error ? inSources(error.stack ?? error.message) : String(error);
  if (isJson)
    process.stderr.write(
      `${JSON.stringify({ error: text, kind: "unexpected", status: ExitStatus.unexpected })}\n`,
    );
  else
    process.stderr.write(
      `coffer: error: something unexpected happened\n${text}\ncoffer: hint: Please report this.\n`,
    );
  return ExitStatus.unexpected;
}

/** Runs the process to its end: waits until what was written has left, because exiting would cut it off. */
export async function run(): Promise<void> {
  // `coffer ls | head` closes the pipe early: that ends the command, it is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(ExitStatus.ok);
    throw error;
  });
  const words = process.argv.slice(2);
  process.once("uncaughtException", (error) => {
    // A device in this process ends itself in order, with a status of its own.
    if (process.listenerCount("uncaughtException") > 0) return;
    process.exit(report(error, words));
  });
  const status = await main(words);
  await Promise.all([process.stdout, process.stderr].map(drained));
  process.exit(status);
}

function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write("", () => {
      resolve();
    });
  });
}
