// SPDX-License-Identifier: MIT
/**
 * A command that works on the repository, defined once and used twice: on the command line, where it opens the
 * repository for itself (`standalone`), and at the shell's prompt, where the repository is open already.
 */

import type { Argv, ArgumentsCamelCase, CommandModule } from "yargs";
import { type GlobalOptions, contextOf, keyfileOption, passphraseFileOption } from "./command-context";
import { deviceOption } from "./device-choice";
import { interruptSignal, interrupted } from "./interruption";
import type { Output } from "./render";
import { RemoteSession } from "./remote-session";
import type { ArgumentKind } from "./shell/complete";

export interface FileCommandContext {
  output: Output;
  session: RemoteSession;
}

export interface FileCommand<Options extends GlobalOptions = GlobalOptions> {
  /** Name and positionals as yargs reads them: "pull <remote>". */
  command: string;
  describe: string;
  /** What Tab completes at the shell's prompt. */
  completion: {
    arguments: readonly ArgumentKind[];
    options?: readonly string[];
    optionValues?: Readonly<Record<string, ArgumentKind>>;
  };
  builder(yargs: Argv<GlobalOptions>): Argv<Options>;
  run(options: ArgumentsCamelCase<Options>, context: FileCommandContext): Promise<void>;
}

export interface ConnectionOptions {
  device: string[] | undefined;
  "passphrase-file": string | undefined;
  keyfile: string | undefined;
}

export function connectionOptions<Options>(yargs: Argv<Options>): Argv<Options & ConnectionOptions> {
  return yargs
    .option("device", deviceOption)
    .option("passphrase-file", passphraseFileOption)
    .option("keyfile", keyfileOption)
    .group(["device", "passphrase-file", "keyfile"], "Connection:");
}

/** Types the options as they arrive: yargs adds the camel-case twin of every option with a dash. */
export function sessionOf(
  options: GlobalOptions & { device: string[] | undefined; passphraseFile?: unknown; keyfile?: unknown },
): {
  output: Output;
  session: RemoteSession;
} {
  const { state, output } = contextOf(options);
  const { device, passphraseFile, keyfile } = options;
  const file = typeof passphraseFile === "string" ? passphraseFile : undefined;
  const session = new RemoteSession({
    state,
    output,
    devices: device,
    passphraseFile: file,
    keyfile: typeof keyfile === "string" ? keyfile : undefined,
  });
  return { output, session };
}

export function standalone<Options extends GlobalOptions>(
  file: FileCommand<Options>,
): CommandModule<GlobalOptions, Options & ConnectionOptions> {
  return {
    command: file.command,
    describe: file.describe,
    builder: (yargs) => connectionOptions(file.builder(yargs)),
    handler: async (options) => {
      const { output, session } = sessionOf(options);
      await untilInterrupted(session, file.run(options, { output, session }));
    },
  };
}

/** Ends with the session closed: after the work, or with what a signal makes of it. */
async function untilInterrupted(session: RemoteSession, work: Promise<void>): Promise<void> {
  const signal = interruptSignal();
  const onAbort = (): void => {
    session.interrupt(interrupted(), work);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await work;
  } catch (error) {
    throw signal.aborted ? interrupted() : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    await session.close();
  }
}
