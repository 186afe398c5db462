// SPDX-License-Identifier: MIT
/**
 * The log of a program that keeps running (relay, node, simulator): one JSON object a line on stdout, as it comes, for
 * files and scripts; on a terminal the same as readable lines.
 */

import { type Output, printable } from "./render";

/** Takes one JSON object as text. */
export function serverLog(output: Output): (line: string) => void {
  if (output.json || !process.stdout.isTTY) return (line) => process.stdout.write(`${line}\n`);
  return (line) => process.stdout.write(`${readable(line)}\n`);
}

/** What a device on this computer logs, in the same form as a relay's events. */
export class DeviceLog {
  readonly #name: string;
  readonly #write: (line: string) => void;

  constructor(name: string, write: (line: string) => void) {
    this.#name = name;
    this.#write = write;
  }

  /** An event by name: "online", "offline", "restarted". */
  event(event: string, details: Record<string, string | number> = {}): void {
    this.#write(JSON.stringify({ time: new Date().toISOString(), event, name: this.#name, ...details }));
  }

  message(level: string, message: string): void {
    this.event("log", { level, message });
  }
}

/** `{"time":"2026-01-01T12:00:00.000Z","event":"joined","name":"cam1"}` gives "12:00:00 joined name=cam1". */
export function readable(line: string): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return printable(line);
  }
  const { time, event, ...rest } = record;
  const clock = typeof time === "string" ? new Date(time).toTimeString().slice(0, 8) : "";
  const details = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const parts = [clock, typeof event === "string" ? event : "", ...details];
  return printable(parts.filter((part) => part !== "").join(" "));
}
