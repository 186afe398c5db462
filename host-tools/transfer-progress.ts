// SPDX-License-Identifier: MIT
/** A push or pull on the terminal: a bar once the work has taken a moment, nothing for what is done at once. */

import { type Output, type Progress as Bar, formatDuration } from "./render";
import type { Progress } from "./repository/repository";

const patienceMs = 400;

export class TransferProgress {
  readonly #output: Output;
  readonly #title: string;
  readonly #startedMs = performance.now();
  #bar: Bar | undefined;
  #isOpening = false;
  #isStopped = false;
  #totalBytes = 0;

  constructor(output: Output, title: string) {
    this.#output = output;
    this.#title = title;
  }

  /** To be given to the repository as it is. */
  readonly onProgress = (progress: Progress): void => {
    if (!this.#output.showsProgress || this.#isStopped) return;
    if (this.#bar === undefined) {
      if (!this.#isOpening && performance.now() - this.#startedMs >= patienceMs)
        void this.#open(progress.bytesTotal);
      return;
    }
    if (progress.bytesTotal !== this.#totalBytes) {
      this.#totalBytes = progress.bytesTotal;
      this.#bar.setTotal(progress.bytesTotal);
    }
    this.#bar.update(progress.bytesDone, noteOf(progress));
  };

  stop(): void {
    this.#isStopped = true;
    this.#bar?.stop();
  }

  async #open(totalBytes: number): Promise<void> {
    this.#isOpening = true;
    this.#totalBytes = totalBytes;
    const bar = await this.#output.progress(this.#title, totalBytes);
    if (this.#isStopped) bar.stop();
    else this.#bar = bar;
  }
}

function noteOf({ phase, path, filesDone, filesTotal }: Progress): string {
  if (phase === "scan") return `looking at ${String(filesTotal)} files`;
  if (phase === "commit") return "making it visible";
  return path === "" ? `${String(filesDone)} of ${String(filesTotal)} files` : path;
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
