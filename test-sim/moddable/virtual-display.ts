// SPDX-License-Identifier: MIT
/** A screen that nobody sees, for programs that insist on a window. Its own for every test run: Xvfb picks a free number. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";

export class VirtualDisplay {
  /** For $DISPLAY. */
  readonly name: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, number: string) {
    this.#child = child;
    this.name = `:${number}`;
  }

  /** Undefined when there is no Xvfb. */
  static async start(): Promise<VirtualDisplay | undefined> {
    const words = ["-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp"];
    const child = spawn("Xvfb", words, { stdio: ["ignore", "ignore", "ignore", "pipe"] });
    const failed = once(child, "error").then(() => undefined);
    const ended = once(child, "exit").then(() => undefined);
    const told = once(child.stdio[3] as Readable, "data").then(([number]) => String(number).trim());
    const number = await Promise.race([told, failed, ended]);
    for (const unused of [failed, ended, told]) unused.catch(() => undefined);
    return number === undefined ? undefined : new VirtualDisplay(child, number);
  }

  async close(): Promise<void> {
    const ended = once(this.#child, "exit");
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill();
    await ended;
  }
}
