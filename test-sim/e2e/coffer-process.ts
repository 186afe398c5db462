// SPDX-License-Identifier: MIT
/** `coffer` as a process: run to its end, or kept running as a server that a test can kill at any moment. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { projectRoot } from "../project-root";

export interface Finished {
  /** Exit status; a negative number stands for "ended by a signal". */
  status: number;
  stdout: string;
  stderr: string;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** A running `coffer`. */
export class CofferProcess {
  readonly #child: Child;
  readonly #ended: Promise<number>;
  readonly #words: readonly string[];
  stdout = "";
  stderr = "";

  constructor(words: readonly string[], environment: NodeJS.ProcessEnv, input?: string) {
    this.#words = words;
    const script = join(projectRoot(), "host-tools", "bin", "coffer.js");
    this.#child = spawn(process.execPath, [script, ...words], {
      env: environment,
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.#child.stdin.on("error", () => undefined); // it may end before it has read everything
    this.#child.stdin.end(input ?? "");
    this.#ended = once(this.#child, "close").then(([code]) => (code as number | null) ?? -1);
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async finished(): Promise<Finished> {
    const status = await this.#ended;
    return { status, stdout: this.stdout, stderr: this.stderr };
  }

  /** Ends it the hard way, unless told otherwise, and waits until it is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number> {
    if (this.isRunning) this.#child.kill(signal);
    return this.#ended;
  }

  /** Waits until `isReady`; fails at once when the process ends before that. */
  async until(what: string, isReady: () => boolean | Promise<boolean>, patienceMs = 15_000): Promise<void> {
    const endMs = performance.now() + patienceMs;
    while (!(await isReady())) {
      if (!this.isRunning)
        throw new Error(`coffer ${this.#words.join(" ")} ended before ${what}: ${this.said}`);
      if (performance.now() > endMs)
        throw new Error(`coffer ${this.#words.join(" ")}: no ${what}: ${this.said}`);
      await delay(20);
    }
  }

  get said(): string {
    return `${this.stdout}\n${this.stderr}`.trim().slice(-2000);
  }
}
