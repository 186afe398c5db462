// SPDX-License-Identifier: MIT
/** Runs the test program that `buildModdable` made. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { derFromPem } from "../../host-tools/certs/certificate";
import type { BoardIdentity } from "../sim-network";
import type { ModdableBuild } from "./moddable-build";
import type { ProgramConfig } from "./program/program-config";

export type RunOptions = Omit<ProgramConfig, "folder" | "identity"> & {
  identity: BoardIdentity;
  name: string;
};

/** Slots take 32 bytes here and 16 on ESP32. */
export interface FixedMemory {
  chunkBytes: number;
  slots: number;
  stackSlots: number;
}

export class ModdableProgram {
  readonly lines: string[] = [];
  /** Everything it keeps is below. */
  readonly folder: string;
  /** Its exit status; undefined when a signal ended it. */
  readonly ended: Promise<number | undefined>;
  readonly #child: ChildProcess;
  #onLine = (): void => undefined;
  #hasEnded = false;

  private constructor(child: ChildProcess, folder: string) {
    this.folder = folder;
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.once("close", (status) => {
        this.#hasEnded = true;
        resolve(status ?? undefined);
        this.#onLine();
      });
    });
    for (const stream of [child.stdout, child.stderr])
      if (stream)
        createInterface({ input: stream }).on("line", (line) => {
          this.lines.push(line);
          this.#onLine();
        });
  }

  /** With `memory` it has so much and no more, as on a board. `under`: the program and arguments that run it, valgrind's. */
  static async start(
    build: ModdableBuild,
    options: RunOptions,
    memory?: FixedMemory,
    under: readonly string[] = [],
  ): Promise<ModdableProgram> {
    const { name, identity, ...rest } = options;
    const folder = await build.newFolder(name);
    const file = (fileName: string, bytes: string | Uint8Array): string => {
      const path = join(folder, fileName);
      writeFileSync(path, bytes, { mode: 0o600 });
      return path;
    };
    const config: ProgramConfig = {
      ...rest,
      folder,
      identity: {
        relayAuthority: file("relay-authority.der", derFromPem(identity.ca)),
        certificate: file("device.der", derFromPem(identity.cert)),
        key: file("device-key.der", derFromPem(identity.key)),
      },
    };
    const sizes =
      memory === undefined ? [] : [memory.chunkBytes, memory.slots, memory.stackSlots].map(String);
    const path = file("config.json", JSON.stringify(config));
    const [command = build.program, ...words] = [...under, build.program, path, ...sizes];
    return new ModdableProgram(spawn(command, words, { stdio: ["ignore", "pipe", "pipe"] }), folder);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when a line begins so, behind the first `from` ones; rejects when the program ends before. */
  async line(start: string, from = 0): Promise<string> {
    for (;;) {
      const found = this.lines.slice(from).find((line) => line.startsWith(start));
      if (found !== undefined) return found;
      if (this.#hasEnded)
        throw new Error(`the program ended before "${start}":\n${this.lines.slice(-20).join("\n")}`);
      from = this.lines.length;
      await new Promise<void>((resolve) => (this.#onLine = resolve));
    }
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}
