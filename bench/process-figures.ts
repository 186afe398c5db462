// SPDX-License-Identifier: MIT
/** What the operating system says of a process: /proc on Linux, so the bench runs on Linux only. */
import { readFileSync } from "node:fs";

export interface ProcessFigures {
  /** Largest resident set so far, MiB. */
  peakMiB: number;
  /** Resident set now, MiB. */
  residentMiB: number;
  /** User and system time so far, seconds. */
  cpuSeconds: number;
}

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
