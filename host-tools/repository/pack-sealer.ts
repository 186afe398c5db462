// SPDX-License-Identifier: MIT
/**
 * Seals packs: large ones in a thread of their own, so that this one goes on reading, cutting and sending; small ones on
 * the spot, because a thread costs more than they do. Buffers are shared with the thread: to move them there and back
 * would count as newly allocated memory each time, and make V8 collect garbage twice for every pack.
 */

import { Worker } from "node:worker_threads";
import type { ChunkCipher, SealingKeys } from "./chunk-cipher";
import { type BuiltPack, type UnsealedPack, builtPack } from "./pack-builder";
import type { SealAnswer, SealRequest, SealerKeys } from "./pack-sealer-worker";
import { sealPack } from "./pack-sealing";

/** From here on the thread pays: starting it takes about 40 ms, sealing this much about 3 ms. */
const THREAD_BYTES = 2 * 1024 * 1024;

interface Job {
  pack: UnsealedPack;
  resolve: (pack: BuiltPack) => void;
  reject: (error: unknown) => void;
}

export class PackSealer {
  readonly #keys: SealingKeys;
  readonly #cipher: ChunkCipher;
  #worker: Worker | undefined;
  /** In the order in which the thread answers; as many as the caller has buffers. */
  readonly #jobs: Job[] = [];

  constructor(keys: SealingKeys, cipher: ChunkCipher) {
    this.#keys = keys;
    this.#cipher = cipher;
  }

  async seal(pack: UnsealedPack): Promise<BuiltPack> {
    if (pack.sizeBytes < THREAD_BYTES) {
      const id = sealPack(this.#cipher, pack.buffer.subarray(0, pack.sizeBytes), pack.unsealed);
      return builtPack(pack, id);
    }
    return new Promise((resolve, reject) => {
      this.#jobs.push({ pack, resolve, reject });
      const { sizeBytes, unsealed } = pack;
      const request: SealRequest = { buffer: pack.buffer.buffer, sizeBytes, unsealed };
      this.#worker ??= this.#start();
      this.#worker.postMessage(request);
    });
  }

  /** Ends the thread; the next pack starts another. */
  close(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker) void worker.terminate();
  }

  #start(): Worker {
    // A thread has no loader for TypeScript: from the sources, too, it runs what was built.
    const name = import.meta.url.endsWith(".ts")
      ? "../dist/pack-sealer-worker.js"
      : "./pack-sealer-worker.js";
    const { repositoryId, epoch } = this.#keys;
    const workerData: SealerKeys = { repositoryId, epoch, chunkKey: this.#keys.chunkKeyAt(epoch) };
    const worker = new Worker(new URL(name, import.meta.url), { workerData });
    worker.on("message", ({ id }: SealAnswer) => {
      const job = this.#jobs.shift();
      job?.resolve(builtPack(job.pack, id));
    });
    worker.on("error", (error) => {
      this.#worker = undefined;
      for (const job of this.#jobs.splice(0)) job.reject(error);
    });
    return worker;
  }
}
