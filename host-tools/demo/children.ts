// SPDX-License-Identifier: MIT
/** Runs `coffer` as its users do: a process of its own for each command, servers until they are told to stop. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Refusal } from "../refusal";

export interface ChildOptions {
  /** The environment of every child; $COFFER_HOME and the passphrase are in it. */
  environment: NodeJS.ProcessEnv;
  /** The script behind `coffer`. */
  script: string;
  signal: AbortSignal;
}

/** What a command prints is kept whole up to this; of a server's output the end, to say why it ended. */
const maxOutputCharacters = 16 * 1024 * 1024;
const maxServerCharacters = 4000;
const stopPatienceMs = 5000;

export class Children {
  readonly #options: ChildOptions;
  readonly #servers: { child: ChildProcess; name: string; said: () => string }[] = [];

  constructor(options: ChildOptions) {
    this.#options = options;
  }

  /** Runs a command to its end and returns what it printed. A child's progress bar goes to this terminal. */
  async run(words: readonly string[], options: { showsProgress?: boolean } = {}): Promise<string> {
    const errorTo = options.showsProgress === true && process.stderr.isTTY ? "inherit" : "pipe";
    const child = this.#spawn(words, errorTo);
    const [output, errors] = [
      collect(child.stdout, maxOutputCharacters),
      collect(child.stderr, maxServerCharacters),
    ];
    const status = await this.#ended(child);
    if (status === 0) return output();
    throw new Refusal("unexpected", `\`coffer ${words.join(" ")}\` ended with status ${status}`, {
      hint: errors().trim() || "See above.",
    });
  }

  /** Starts a server that runs until `stop`. */
  start(name: string, words: readonly string[]): void {
    const child = this.#spawn(words, "pipe");
    const [output, errors] = [child.stdout, child.stderr].map((stream) =>
      collect(stream, maxServerCharacters),
    );
    this.#servers.push({ child, name, said: () => `${output?.() ?? ""}${errors?.() ?? ""}`.trim() });
  }

  /** Throws when a server has ended although nobody told it to. */
  requireRunning(): void {
    const gone = this.#servers.find(({ child }) => child.exitCode !== null || child.signalCode !== null);
    if (gone === undefined) return;
    const { name, child, said } = gone;
    throw new Refusal("unexpected", `the ${name} ended with ${String(child.exitCode ?? child.signalCode)}`, {
      hint: said() || "It said nothing.",
    });
  }

  /** Ends every server, the last one first; those that do not listen are killed. */
  async stop(): Promise<void> {
    for (const { child } of this.#servers.splice(0).reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), stopPatienceMs);
      await ended;
      clearTimeout(timer);
    }
  }

  #spawn(words: readonly string[], errorTo: "pipe" | "inherit"): ChildProcess {
    const { script, environment } = this.#options;
    return spawn(process.execPath, [...process.execArgv, script, ...words], {
      env: environment,
      stdio: ["ignore", "pipe", errorTo],
    });
  }

  async #ended(child: ChildProcess): Promise<string | number> {
    const onAbort = (): void => {
      child.kill("SIGTERM");
    };
    this.#options.signal.addEventListener("abort", onAbort, { once: true });
    try {
      const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
      return code ?? signal ?? "unknown";
    } finally {
      this.#options.signal.removeEventListener("abort", onAbort);
    }
  }
}

function collect(stream: NodeJS.ReadableStream | null, maxCharacters: number): () => string {
  let text = "";
  stream?.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
    if (text.length > 2 * maxCharacters) text = text.slice(-maxCharacters);
  });
  return () => text.slice(-maxCharacters);
}
