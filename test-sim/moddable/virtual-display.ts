// SPDX-License-Identifier: MIT
/** A screen that nobody sees, for programs that insist on a window. Its own for every test run: Xvfb picks a free number. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Readable } from "node:stream";

const PROGRAM = "Xvfb";

/** Whether there can be one on this computer. */
export function hasVirtualDisplay(): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => existsSync(join(folder, PROGRAM)));
}

export class VirtualDisplay {
  /** For $DISPLAY. */
  readonly name: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, number: string) {
    this.#child = child;
    this.name = `:${number}`;
  }

  static async start(): Promise<VirtualDisplay> {
    const words = ["-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp"];
    const child = spawn(PROGRAM, words, { stdio: ["ignore", "ignore", "ignore", "pipe"] });
    const ended = once(child, "exit").then(([status]) => {
      throw new Error(`${PROGRAM} ended with ${String(status)} instead of opening a display`);
    });
    ended.catch(() => undefined); // at the end nobody waits any more
    const told = once(child.stdio[3] as Readable, "data").then(([number]) => String(number).trim());
    return new VirtualDisplay(child, await Promise.race([told, ended]));
  }

  async close(): Promise<void> {
    const ended = once(this.#child, "exit");
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill();
    await ended;
  }
}
