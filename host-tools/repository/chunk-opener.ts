// SPDX-License-Identifier: MIT
/**
 * Opens chunks in a thread of its own, while this one receives and writes: decrypting and decompressing is a quarter of
 * what a pull of small files takes.
 */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { OpenedRange, OpeningKeys, SealedRange } from "./chunk-opening";
import type { RepositoryKeys } from "./repository-keys";
import { threadFile } from "./thread-file";

export class ChunkOpener {
  readonly #keys: Pick<RepositoryKeys, "repositoryId" | "epoch" | "chunkKeyAt">;
  #worker: Worker | undefined;
  #isOnline = false;
  /** In the order in which the thread has them: as many as there are ranges being fetched. */
  readonly #waiting: ((opened: OpenedRange | undefined) => void)[] = [];

  constructor(keys: Pick<RepositoryKeys, "repositoryId" | "epoch" | "chunkKeyAt">) {
    this.#keys = keys;
  }

  /** There will be much to open: a thread costs some 50 ms to start. */
  prepare(): void {
    if (this.#worker || availableParallelism() === 1) return;
    const { repositoryId, epoch } = this.#keys;
    const workerData: OpeningKeys = {
      repositoryId,
      chunkKeys: Array.from({ length: epoch + 1 }, (_, at) => Uint8Array.from(this.#keys.chunkKeyAt(at))),
    };
    const worker = new Worker(threadFile("chunk-opener-worker"), { workerData });
    this.#worker = worker;
    worker.on("online", () => {
      this.#isOnline = true;
    });
    worker.on("message", (opened: OpenedRange) => {
      this.#waiting.shift()?.(opened);
    });
    worker.on("error", () => {
      this.close();
    });
  }

  /** Whether `open` would do it. */
  get isReady(): boolean {
    return this.#isOnline;
  }

  /** Undefined when there is no thread, or not any more: what it cannot do is done without it. */
  async open(range: SealedRange): Promise<OpenedRange | undefined> {
    if (!this.#isOnline) return undefined;
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#worker?.postMessage(range);
    });
  }

  close(): void {
    this.#isOnline = false;
    void this.#worker?.terminate();
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
  }
}
