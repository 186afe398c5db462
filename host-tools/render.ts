// SPDX-License-Identifier: MIT
/**
 * Everything a command says. Results go to stdout, as text for people or, with `--json`, one object a line; notes and
 * progress go to stderr, progress only on a terminal and never with `--quiet` or `--json`.
 */

import type { SingleBar } from "cli-progress";

export interface OutputOptions {
  json: boolean;
  quiet: boolean;
  /** Injected by tests. */
  stdout?: NodeJS.WritableStream;
  stderr?: NodeJS.WritableStream & { isTTY?: boolean };
}

/** A running piece of work. Both calls are cheap enough for every chunk. */
export interface Progress {
  /** `doneBytes` of the total so far; `note` is what is being worked on, for example a path. */
  update(doneBytes: number, note?: string): void;
  /** The total became known or changed. */
  setTotal(totalBytes: number): void;
  /** Clears the line. Twice is harmless. */
  stop(): void;
}

export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly #stdout: NodeJS.WritableStream;
  readonly #stderr: NodeJS.WritableStream & { isTTY?: boolean };

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.quiet = options.quiet;
    this.#stdout = options.stdout ?? process.stdout;
    this.#stderr = options.stderr ?? process.stderr;
  }

  /** A result: `record` with `--json`, otherwise `text` (skipped when undefined). */
  result(record: object, text?: string): void {
    if (this.json) this.#stdout.write(`${JSON.stringify(record)}\n`);
    else if (text !== undefined) this.#stdout.write(`${text}\n`);
  }

  /** A line for people only. */
  line(text: string): void {
    if (!this.json) this.#stdout.write(`${text}\n`);
  }

  /** A remark beside the result: what was done, what to do next. */
  note(text: string): void {
    if (!this.json && !this.quiet) this.#stderr.write(`${text}\n`);
  }

  /** Something went wrong that does not stop the work. Printed with `--quiet`, too. */
  warn(text: string): void {
    if (this.json) this.#stderr.write(`${JSON.stringify({ warning: text })}\n`);
    else this.#stderr.write(`coffer: warning: ${text}\n`);
  }

  get showsProgress(): boolean {
    return !this.json && !this.quiet && this.#stderr.isTTY === true;
  }

  /**
   * A bar with speed and time left; nothing at all unless a person is watching. What is counted is bytes unless
   * `format` says otherwise.
   */
  async progress(title: string, totalBytes: number, format = formatBytes): Promise<Progress> {
    if (!this.showsProgress) return silentProgress;
    const { SingleBar } = (await import("cli-progress")).default;
    return new TerminalProgress(
      new SingleBar({
        stream: this.#stderr,
        format: `${title} {bar} {percentage}%  {done} of {size}  {speed}  {left}  {note}`,
        barsize: 20,
        fps: 8,
        hideCursor: true,
        clearOnComplete: true,
        linewrap: false,
      }),
      totalBytes,
      format,
    );
  }
}

const silentProgress: Progress = {
  update: () => undefined,
  setTotal: () => undefined,
  stop: () => undefined,
};

const speedWindowMs = 5000;

class TerminalProgress implements Progress {
  readonly #bar: SingleBar;
  readonly #format: (value: number) => string;
  #totalBytes: number;
  #note = "";
  #isRunning = true;
  /** Moments of the last few seconds, oldest first: the speed is over them, not since the start. */
  #moments: { atMs: number; doneBytes: number }[] = [{ atMs: performance.now(), doneBytes: 0 }];

  constructor(bar: SingleBar, totalBytes: number, format: (value: number) => string) {
    this.#bar = bar;
    this.#format = format;
    this.#totalBytes = totalBytes;
    bar.start(Math.max(totalBytes, 1), 0, this.#texts(0));
  }

  update(doneBytes: number, note?: string): void {
    if (!this.#isRunning) return;
    if (note !== undefined) this.#note = printable(note);
    const atMs = performance.now();
    const last = this.#moments.at(-1);
    if (last !== undefined && atMs - last.atMs < 100 && this.#moments.length > 1) last.doneBytes = doneBytes;
    else this.#moments.push({ atMs, doneBytes });
    while (this.#moments.length > 2 && atMs - (this.#moments[0]?.atMs ?? atMs) > speedWindowMs)
      this.#moments.shift();
    this.#bar.update(doneBytes, this.#texts(doneBytes));
  }

  setTotal(totalBytes: number): void {
    this.#totalBytes = totalBytes;
    this.#bar.setTotal(Math.max(totalBytes, 1));
  }

  stop(): void {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#bar.stop();
  }

  #texts(doneBytes: number): Record<string, string> {
    const first = this.#moments[0];
    const last = this.#moments.at(-1);
    const elapsedMs = first === undefined || last === undefined ? 0 : last.atMs - first.atMs;
    const moved = (last?.doneBytes ?? 0) - (first?.doneBytes ?? 0);
    const bytesPerSecond = elapsedMs > 0 ? (moved * 1000) / elapsedMs : 0;
    const leftSeconds =
      bytesPerSecond > 0 ? Math.max(0, this.#totalBytes - doneBytes) / bytesPerSecond : undefined;
    return {
      done: this.#format(doneBytes),
      size: this.#format(this.#totalBytes),
      speed: `${this.#format(bytesPerSecond)}/s`,
      left: leftSeconds === undefined ? "" : `${formatDuration(leftSeconds)} left`,
      note: shortened(this.#note, 30),
    };
  }
}

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** 1536 gives "1.5 KiB". */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit] ?? "B"}`;
}

/** 75.2 gives "1:15"; from an hour on "2:03:09". */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  const pad = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0
    ? `${String(hours)}:${pad(minutes)}:${pad(whole % 60)}`
    : `${String(minutes)}:${pad(whole % 60)}`;
}

/**
 * A name from elsewhere, made safe for a terminal: control characters (which could move the cursor or hide text),
 * line and direction marks become escapes.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu,
    (character) => {
      if (character === "\t") return "\\t";
      if (character === "\n") return "\\n";
      return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
    },
  );
}

/** Rows as aligned columns, two spaces apart; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, index) => (widths[index] = Math.max(widths[index] ?? 0, cell.length)));
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function shortened(text: string, length: number): string {
  const characters = Array.from(text);
  return characters.length <= length ? text : `…${characters.slice(1 - length).join("")}`;
}

/** "45 s", "12 min", "5 h 12 min", "3 d 4 h". */
export function formatUptime(seconds: number): string {
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (days > 0) return `${String(days)} d ${String(hours % 24)} h`;
  if (hours > 0) return `${String(hours)} h ${String(minutes % 60)} min`;
  return minutes > 0 ? `${String(minutes)} min` : `${String(Math.floor(seconds))} s`;
}
