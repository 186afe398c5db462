// SPDX-License-Identifier: MIT
/** Counts what a push or pull has done and tells it, a few times a second at most. */

import { type ByteString, toText } from "./byte-names";
import type { Phase, Progress } from "./repository-api";

const INTERVAL_MS = 50;

export class ProgressMeter {
  readonly #onProgress: ((progress: Progress) => void) | undefined;
  readonly #totals: () => { files: number; bytes: number; isFinal: boolean };
  readonly #transferred: () => number;
  #phase: Phase = "scan";
  #files = 0;
  #bytes = 0;
  #path: ByteString = "";
  #toldAtMs = 0;

  constructor(options: {
    onProgress: ((progress: Progress) => void) | undefined;
    totals: () => { files: number; bytes: number; isFinal: boolean };
    transferred: () => number;
  }) {
    this.#onProgress = options.onProgress;
    this.#totals = options.totals;
    this.#transferred = options.transferred;
  }

  set phase(phase: Phase) {
    this.#phase = phase;
    this.#tell();
  }

  addBytes(bytes: number): void {
    this.#bytes += bytes;
    this.update();
  }

  setBytes(bytes: number): void {
    this.#bytes = bytes;
  }

  file(path: ByteString, bytes: number): void {
    this.#files++;
    this.#bytes += bytes;
    this.#path = path;
    this.update();
  }

  update(): void {
    if (this.#onProgress && performance.now() - this.#toldAtMs > INTERVAL_MS) this.#tell();
  }

  finish(): void {
    this.phase = "done";
  }

  #tell(): void {
    if (!this.#onProgress) return;
    this.#toldAtMs = performance.now();
    const { files, bytes, isFinal } = this.#totals();
    this.#onProgress({
      phase: this.#phase,
      filesDone: this.#files,
      filesTotal: files,
      bytesDone: this.#bytes,
      bytesTotal: bytes,
      isTotalFinal: isFinal,
      transferredBytes: this.#transferred(),
      path: toText(this.#path),
    });
  }
}
