// SPDX-License-Identifier: MIT
/** A relay and host nodes as real processes, started through the CLI with a state folder of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../host-tools/demo/free-port";
import { State } from "../host-tools/state";
import { type RunResult, runMeasured } from "./process-figures";

const cli = join(dirname(fileURLToPath(import.meta.url)), "..", "host-tools", "bin", "coffer.js");
const MIB = 1024 * 1024;
export const PASSPHRASE = "bench bench bench";
const READY_WITHIN_MS = 20_000;

export class Cluster {
  /** Everything of this cluster: state, cards. In memory where the system has /dev/shm, so that no disk is measured. */
  readonly folder: string;
  readonly state: State;
  port = 0;
  readonly #children: ChildProcess[] = [];

  constructor(base: string) {
    this.folder = mkdtempSync(join(base, "coffer-bench-"));
    this.state = new State(join(this.folder, "home"));
  }

  /** State folder, certificates and a running relay. */
  async start(): Promise<ChildProcess> {
    this.port = await freePort();
    await this.run(["init", "--relay", `127.0.0.1:${this.port}`]);
    const relay = this.#spawn(["relay", "--listen", `127.0.0.1:${this.port}`, "--no-discovery"]);
    await this.#until(async () => {
      await this.run(["status", "--json"]);
    });
    return relay;
  }

  /** A host node of that name on a folder of this cluster. */
  async startNode(name: string): Promise<ChildProcess> {
    await this.run(["device", "add", name, "--certs", join(this.folder, "certs")]);
    mkdirSync(join(this.folder, name));
    const node = this.#spawn(["node", join(this.folder, name), "--as", name]);
    await this.#until(async () => {
      await this.run(["df", "--json", "--device", name]);
    });
    return node;
  }

  /** Runs one command to its end; an exit status other than 0 is an error with what it printed. */
  async run(words: readonly string[]): Promise<RunResult> {
    return runMeasured(cli, words, this.#environment());
  }

  close(): void {
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, COFFER_HOME: this.state.home, COFFER_PASSPHRASE: PASSPHRASE };
  }

  #spawn(words: readonly string[]): ChildProcess {
    const child = spawn(cli, words, { env: this.#environment(), stdio: "ignore" });
    this.#children.push(child);
    return child;
  }

  async #until(attempt: () => Promise<void>): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    for (;;) {
      try {
        await attempt();
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
      }
    }
  }
}

export function writeRandom(path: string, mebibytes: number): void {
  const file = openSync(path, "w");
  const block = Buffer.alloc(4 * MIB);
  for (let written = 0; written < mebibytes; written += 4) {
    randomFillSync(block);
    writeSync(file, block, 0, Math.min(4, mebibytes - written) * MIB);
  }
  closeSync(file);
}

/** A virtual machine gets memory from its host page by page, slowly: that is done here, before the clock runs. */
export function warm(path: string, mebibytes: number): void {
  writeRandom(`${path}.warm`, 2 * mebibytes);
  rmSync(`${path}.warm`);
}

export function memoryFolder(): string {
  return process.env.COFFER_BENCH_FOLDER ?? (process.platform === "linux" ? "/dev/shm" : tmpdir());
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
