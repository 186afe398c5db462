// SPDX-License-Identifier: MIT
/** A push or pull on the terminal: a bar once the work has taken a moment, nothing for what is done at once. */

import { type Output, type Progress as Bar, formatBytes, formatDuration } from "./render";
import type { Progress } from "./repository/repository";

const patienceMs = 400;
const intervalMs = 200;

export class TransferProgress {
  readonly #output: Output;
  readonly #title: string;
  #latest: Progress | undefined;
  #bar: Bar | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(output: Output, title: string) {
    this.#output = output;
    this.#title = title;
    if (output.showsProgress)
      this.#timer = setTimeout(() => {
        void this.#open();
      }, patienceMs);
  }

  /** To be given to the repository as it is. */
  readonly onProgress = (progress: Progress): void => {
    this.#latest = progress;
  };

  /** Twice is harmless. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#bar?.stop();
  }

  async #open(): Promise<void> {
    // Loaded first: a bar that opens after the end would be drawn below the result.
    await import("cli-progress");
    if (this.#timer === undefined) return;
    const bar = await this.#output.progress(this.#title, this.#latest?.bytesTotal ?? 0);
    this.#bar = bar;
    // By the clock and not by what is told: a person also wants to see that nothing moves.
    this.#timer = setInterval(() => {
      this.#show(bar);
    }, intervalMs);
    this.#show(bar);
  }

  #show(bar: Bar): void {
    if (this.#latest === undefined) return;
    bar.setTotal(this.#latest.bytesTotal);
    bar.update(this.#latest.bytesDone, noteOf(this.#latest));
  }
}

/** What is read and what has travelled are different things: packs are under way when all has been read. */
function noteOf({ phase, path, filesDone, filesTotal, transferredBytes }: Progress): string {
  if (phase === "scan") return `looking at ${plural(filesTotal, "file")}`;
  const moved = formatBytes(transferredBytes);
  if (phase === "commit") return `${moved} moved, finishing`;
  return `${moved} moved, ${path === "" ? `${String(filesDone)} of ${plural(filesTotal, "file")}` : path}`;
}

/** "312 files, 4 folders, 1 link, 1.2 GiB"; what there is none of is left out. */
export function countsOf(counts: { files: number; directories: number; symlinks: number }): string {
  const parts = [
    plural(counts.files, "file"),
    counts.directories > 0 ? plural(counts.directories, "folder") : "",
    counts.symlinks > 0 ? plural(counts.symlinks, "link") : "",
  ];
  return parts.filter((part) => part !== "").join(", ");
}

export function plural(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** How long something took: "0.4 s", from ten seconds on "0:12". */
export function formatSeconds(seconds: number): string {
  return seconds < 9.95 ? `${seconds.toFixed(1)} s` : formatDuration(seconds);
}
