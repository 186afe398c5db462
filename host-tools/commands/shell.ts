// SPDX-License-Identifier: MIT
import type { CommandModule } from "yargs";
import type { GlobalOptions } from "../command-context";
import { type ConnectionOptions, connectionOptions, sessionOf } from "../file-command";
import { Refusal } from "../refusal";
import type { ShellOutcome } from "../shell/shell";
import { plural } from "../transfer-progress";

interface ShellOptions extends GlobalOptions, ConnectionOptions {
  "fail-fast": boolean;
}

/** What a person at the prompt can wait out or repair without leaving it. */
const passing = new Set([
  "deviceOffline",
  "deviceBusy",
  "deviceLocked",
  "relayUnreachable",
  "connectionLost",
]);

export const command: CommandModule<GlobalOptions, ShellOptions> = {
  command: "shell",
  describe: "An interactive prompt on the repository, or the same commands from a pipe",
  builder: (yargs) =>
    connectionOptions(yargs)
      .option("fail-fast", {
        type: "boolean",
        default: false,
        describe: "End at the first command that fails",
      })
      .example("$0 shell", "then `help`")
      .example("$0 shell < script", "runs every line; the exit status is that of the first that failed"),
  handler: async (options) => {
    const { output, session } = sessionOf(options);
    const { json, quiet, failFast } = options;
    const { runShell } = await import("../shell/shell");
    try {
      await session.passphrase();
      const isTerminal = process.stdin.isTTY;
      try {
        await session.repository();
      } catch (error) {
        if (!isTerminal || !(error instanceof Refusal) || !passing.has(error.kind)) throw error;
        output.warn(`${error.message}; the next command tries again`);
      }
      if (isTerminal) output.note("`help` shows the commands, `exit` leaves.");
      const outcome = await runShell({ session, json, quiet, failFast, input: process.stdin });
      if (!isTerminal) requireSuccess(outcome);
    } finally {
      await session.close();
    }
  },
};

/** The exit status of a script is that of its first line that failed. */
function requireSuccess({ failures, first }: ShellOutcome): void {
  if (first === undefined) return;
  throw new Refusal(
    first.kind,
    failures === 1
      ? `line ${String(first.lineNumber)} failed: ${first.message}`
      : `${plural(failures, "line")} failed, the first was line ${String(first.lineNumber)}: ${first.message}`,
  );
}
