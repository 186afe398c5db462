// SPDX-License-Identifier: MIT
/**
 * Seals packs: large ones in threads of their own, so that this one goes on reading, cutting and sending; on the spot
 * those that would wait for a thread longer than they take, which are small ones, the first while the first thread is
 * starting, and the last of a push that has started none. Buffers are shared with the threads: to move them there and back
 * would count as newly allocated memory each time, and make V8 collect garbage twice for every pack.
 */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { ChunkCipher, ChunkKeys } from "./chunk-cipher";
import { collectYoung } from "./collect-young";
import { type BuiltPack, builtPack } from "./pack-builder";
import { type PackKeys, type SealedPack, type UnsealedPack, sealPack } from "./pack-sealing";

/** From here on a thread pays. Sealing this much takes 3 ms, and compressing it 10; starting a thread takes 40 to 100. */
const THREAD_BYTES = 2 * 1024 * 1024;
/** One keeps up with everything but text: compressing takes four times as long as all else that is done to a pack. */
const MAX_THREADS = Math.min(2, availableParallelism());

interface Job {
  pack: UnsealedPack;
  resolve: (pack: BuiltPack) => void;
  reject: (error: unknown) => void;
}

interface Thread {
  worker: Worker;
  isOnline: boolean;
  job: Job | undefined;
}

export class PackSealer {
  readonly #keys: ChunkKeys;
  readonly #cipher: ChunkCipher;
  readonly #threads: Thread[] = [];
  /** No more than the caller has buffers. */
  readonly #waiting: Job[] = [];

  constructor(keys: ChunkKeys, cipher: ChunkCipher) {
    this.#keys = keys;
    this.#cipher = cipher;
  }

  /** Whether a large pack would go to a thread now. */
  get hasThread(): boolean {
    return this.#threads.some(({ isOnline }) => isOnline);
  }

  /** `isLast`: no other follows soon. */
  async seal(pack: UnsealedPack, isLast: boolean): Promise<BuiltPack> {
    const isLarge = pack.filledBytes >= THREAD_BYTES;
    if (isLarge && !isLast && this.#threads.length === 0) this.#start();
    if (!isLarge || !this.hasThread) {
      const sealed = sealPack(this.#keys.repositoryId, this.#cipher, pack);
      if (isLarge) collectYoung();
      return builtPack(pack, sealed);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ pack, resolve, reject });
      this.#dispatch();
    });
  }

  /** Ends the threads; the next pack starts another. */
  close(): void {
    for (const { worker } of this.#threads.splice(0)) void worker.terminate();
  }

  #dispatch(): void {
    for (const thread of this.#threads) if (!thread.job) this.#give(thread);
    if (this.#threads.length < MAX_THREADS && this.#waiting.length > this.#threads.length)
      this.#give(this.#start());
  }

  #give(thread: Thread): void {
    thread.job = this.#waiting.shift();
    if (thread.job) thread.worker.postMessage(thread.job.pack);
  }

  #start(): Thread {
    // A thread has no loader for TypeScript: from the sources, too, it runs what was built.
    const name = import.meta.url.endsWith(".ts")
      ? "../dist/pack-sealer-worker.js"
      : "./pack-sealer-worker.js";
    const { repositoryId, epoch } = this.#keys;
    const workerData: PackKeys = { repositoryId, epoch, chunkKey: this.#keys.chunkKeyAt(epoch) };
    const worker = new Worker(new URL(name, import.meta.url), { workerData });
    const thread: Thread = { worker, isOnline: false, job: undefined };
    this.#threads.push(thread);
    worker.on("online", () => {
      thread.isOnline = true;
    });
    worker.on("message", ({ id, sizeBytes, chunkList: { buffer, byteOffset, length } }: SealedPack) => {
      const { job } = thread;
      this.#give(thread);
      // A Buffer arrives as the Uint8Array that it is.
      const chunkList = Buffer.from(buffer, byteOffset, length);
      job?.resolve(builtPack(job.pack, { id, sizeBytes, chunkList }));
    });
    worker.on("error", (error) => {
      this.#threads.splice(0, this.#threads.length, ...this.#threads.filter((other) => other !== thread));
      for (const job of [thread.job, ...this.#waiting.splice(0)]) job?.reject(error);
    });
    return thread;
  }
}
