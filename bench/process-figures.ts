// SPDX-License-Identifier: MIT
/** What the operating system says of a process: /proc on Linux, so the bench runs on Linux only. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

export interface ProcessFigures {
  /** Largest resident set so far, MiB. */
  peakMiB: number;
  /** Resident set now, MiB. */
  residentMiB: number;
  /** User and system time so far, seconds. */
  cpuSeconds: number;
}

export interface RunResult {
  output: string;
  seconds: number;
  figures: ProcessFigures;
}

const FIGURES_EVERY_MS = 20;
/** Clock ticks a second of /proc/PID/stat: 100 on every Linux that Node runs on. */
const TICKS = 100;

/** Undefined when the process is gone. */
export function readFigures(pid: number): ProcessFigures | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kibibytes = (field: string): number =>
      Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
    // fields are counted behind the command name, which may hold spaces
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return {
      peakMiB: kibibytes("VmHWM") / 1024,
      residentMiB: kibibytes("VmRSS") / 1024,
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS,
    };
  } catch {
    return undefined;
  }
}

/** Runs a program to its end; an exit status other than 0 is an error with what it printed. */
export async function runMeasured(
  program: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<RunResult> {
  const started = performance.now();
  const child = spawn(program, words, { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let complaint = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
  let figures: ProcessFigures = { peakMiB: 0, residentMiB: 0, cpuSeconds: 0 };
  const sampler = setInterval(() => {
    const read = readFigures(child.pid ?? 0);
    // an ended process that nobody has waited for yet has no memory
    if (read && read.peakMiB > 0) figures = read;
  }, FIGURES_EVERY_MS);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  }).finally(() => {
    clearInterval(sampler);
  });
  if (status !== 0) throw new Error(`${program} ${words.join(" ")}: status ${String(status)}\n${complaint}`);
  return { output, seconds: (performance.now() - started) / 1000, figures };
}
