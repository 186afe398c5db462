// SPDX-License-Identifier: MIT
/** Counts the instructions of a running program by valgrind's callgrind, from one moment to another. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

export interface InstructionCount {
  instructions: number;
  /** Those with most first; with what the compiler put inline into them, without what they call. */
  functions: { name: string; instructions: number }[];
}

export function hasValgrind(): boolean {
  return spawnSync("valgrind", ["--version"]).status === 0;
}

export class Callgrind {
  readonly #file: string;

  /** `file`: where the counts go, in an existing folder; deleted after they were read. */
  constructor(file: string) {
    this.#file = file;
  }

  /** Put before the program and its arguments. */
  get command(): string[] {
    return ["valgrind", "--tool=callgrind", "--quiet", `--callgrind-out-file=${this.#file}`];
  }

  /** Counting starts again. */
  zero(pid: number): void {
    execFileSync("callgrind_control", ["--zero", String(pid)], { stdio: "pipe" });
  }

  /** What was counted since `zero`. */
  dump(pid: number): InstructionCount {
    execFileSync("callgrind_control", ["--dump", String(pid)], { stdio: "pipe" });
    const folder = dirname(this.#file);
    const part = readdirSync(folder).find((name) => name.startsWith(`${basename(this.#file)}.`));
    if (part === undefined) throw new Error("callgrind wrote no counts");
    const path = join(folder, part);
    const text = readFileSync(path, "utf8");
    rmSync(path);
    return readCounts(text);
  }
}

/**
 * A profile as the manual's "Callgrind Format Specification" describes it: "fn=(7) name" begins a function, later only
 * "fn=(7)"; a line that begins with a position ends with a cost; the one behind "calls=" is a callee's and counts there.
 */
export function readCounts(text: string): InstructionCount {
  const names = new Map<string, string>();
  const costs = new Map<string, number>();
  let current = "";
  let isCall = false;
  let instructions = 0;
  for (const line of text.split("\n")) {
    const [, kind, id = "", name] = /^(c?fn)=\((\d+)\)(?: (.*))?$/.exec(line) ?? [];
    if (name !== undefined) names.set(id, name);
    if (kind === "fn") current = id;
    else if (line.startsWith("calls=")) isCall = true;
    else if (/^[\d+*-]/.test(line)) {
      const cost = Number(line.split(" ")[1] ?? 0);
      if (!isCall) costs.set(current, (costs.get(current) ?? 0) + cost);
      if (!isCall) instructions += cost;
      isCall = false;
    }
  }
  if (instructions === 0) throw new Error("callgrind: a profile without counts");
  const functions = [...costs].map(([id, count]) => ({ name: names.get(id) ?? id, instructions: count }));
  return { instructions, functions: functions.sort((a, b) => b.instructions - a.instructions) };
}
