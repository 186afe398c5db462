// SPDX-License-Identifier: MIT
/**
 * The loop of the shell, over a terminal or a pipe.
 *
 * On a terminal readline owns the keyboard for as long as the shell lives: Ctrl-C arrives as a key, which stops the
 * running command, or clears the line when none runs. Lines typed meanwhile wait their turn.
 * From a pipe there is no prompt; every line runs, whatever became of those before it, unless `failFast`.
 */

import { createInterface, type Interface } from "node:readline";
import { interrupted } from "../interruption";
import { printable } from "../render";
import type { RemoteSession } from "../remote-session";
import { type CompletionSource, complete } from "./complete";
import { historyLimit, isKept, loadHistory, saveHistory } from "./history";
import { localEntries } from "./place-commands";
import { type Failure, reportFailure } from "./report";
import { runLine } from "./run-line";
import { shellCommands } from "./shell-commands";
import { splitWords } from "./words";

/** Lines read ahead of the running command. */
const maxWaitingLines = 1000;

export interface ShellOptions {
  session: RemoteSession;
  json: boolean;
  quiet: boolean;
  /** Ends at the first line that fails. */
  failFast: boolean;
  input: NodeJS.ReadableStream & { isTTY?: boolean };
}

export interface ShellOutcome {
  lines: number;
  failures: number;
  first: (Failure & { lineNumber: number }) | undefined;
}

export async function runShell(options: ShellOptions): Promise<ShellOutcome> {
  return new Shell(options).run();
}

class Shell {
  readonly #options: ShellOptions;
  readonly #session: RemoteSession;
  readonly #isTerminal: boolean;
  readonly #outcome: ShellOutcome = { lines: 0, failures: 0, first: undefined };
  #history: string[] = [];
  /** Rejects what the running command is awaited with. */
  #stop: (() => void) | undefined;

  constructor(options: ShellOptions) {
    this.#options = options;
    this.#session = options.session;
    this.#isTerminal = options.input.isTTY === true;
  }

  async run(): Promise<ShellOutcome> {
    const reader = this.#isTerminal
      ? await this.#openTerminal()
      : createInterface({ input: this.#options.input });
    try {
      for await (const line of linesOf(reader, () => {
        this.#prompt(reader);
      })) {
        if (await this.#runOne(line)) break;
      }
    } finally {
      reader.close();
    }
    return this.#outcome;
  }

  async #openTerminal(): Promise<Interface> {
    const { home } = this.#session.state;
    this.#history = await loadHistory(home);
    const reader = createInterface({
      input: this.#options.input,
      output: process.stdout,
      terminal: true,
      history: this.#history,
      historySize: historyLimit,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: Error | null, completion: [string[], string]) => void) => {
        complete(line, this.#completionSource()).then(
          (completion) => {
            done(null, completion);
          },
          () => {
            done(null, [[], ""]);
          },
        );
      },
    });
    reader.on("SIGINT", () => {
      if (this.#stop !== undefined) this.#stop();
      else {
        // As other shells do: the line is left standing, and a fresh prompt follows.
        process.stdout.write("^C\n");
        reader.write(null, { ctrl: true, name: "e" });
        reader.write(null, { ctrl: true, name: "u" });
        this.#prompt(reader);
      }
    });
    reader.on("close", () => {
      process.stdout.write("\n");
    });
    return reader;
  }

  #prompt(reader: Interface): void {
    if (!this.#isTerminal) return;
    reader.setPrompt(`coffer:${printable(this.#session.remoteFolder)}> `);
    reader.prompt();
  }

  /** Returns true when the shell is to end. */
  async #runOne(line: string): Promise<boolean> {
    this.#outcome.lines += 1;
    const { session, json, quiet, failFast } = this.#options;
    try {
      const words = splitWords(line);
      if (this.#isTerminal) await this.#remember(line);
      if (words.length === 0) return false;
      return await this.#interruptible(runLine(words, { session, json, quiet }));
    } catch (error) {
      const lineNumber = this.#outcome.lines;
      const failure = reportFailure(error, { json, lineNumber: this.#isTerminal ? undefined : lineNumber });
      this.#outcome.failures += 1;
      this.#outcome.first ??= { ...failure, lineNumber };
      return failFast;
    }
  }

  #interruptible(work: Promise<boolean>): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#stop = () => {
        this.#session.interrupt(interrupted(), work);
        reject(interrupted());
      };
      work.then(resolve, reject).finally(() => {
        this.#stop = undefined;
      });
    });
  }

  /** Written line by line, so that a killed shell loses nothing. A full disk must not keep anybody from working. */
  async #remember(line: string): Promise<void> {
    if (!isKept(line)) return;
    this.#history = [line, ...this.#history.filter((old) => old !== line)].slice(0, historyLimit);
    await saveHistory(this.#session.state.home, this.#history).catch(() => undefined);
  }

  #completionSource(): CompletionSource {
    return {
      commands: new Map([...shellCommands].map(([name, { completion }]) => [name, completion])),
      listRemote: async (folder) => {
        const repository = await this.#session.repository();
        const nodes = await repository.list(this.#session.remotePath(folder === "" ? "." : folder));
        return nodes.map(({ name, type }) => ({ name, isFolder: type === "directory" }));
      },
      listLocal: (folder) => localEntries(this.#session.localPath(folder === "" ? "." : folder)),
    };
  }
}

/** One line after the other, however they arrive; `ready` is called whenever the next one is waited for. */
async function* linesOf(reader: Interface, ready: () => void): AsyncGenerator<string> {
  const waiting: string[] = [];
  const state = { isClosed: false, wake: (): void => undefined };
  reader.on("line", (line) => {
    waiting.push(line);
    if (waiting.length > maxWaitingLines) reader.pause();
    state.wake();
  });
  reader.on("close", () => {
    state.isClosed = true;
    state.wake();
  });
  for (;;) {
    const line = waiting.shift();
    if (line !== undefined) yield line;
    else if (state.isClosed) return;
    else {
      reader.resume();
      ready();
      await new Promise<void>((resolve) => {
        state.wake = resolve;
      });
    }
  }
}
