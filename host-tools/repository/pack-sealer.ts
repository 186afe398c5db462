// SPDX-License-Identifier: MIT
/**
 * Seals packs: large ones in threads of their own, so that this one goes on reading, cutting and sending; on the spot
 * those that would wait for a thread longer than they take, which are small ones, and large ones while no thread has
 * started. One thread keeps up with everything but compressing, which takes
 * four times as long as all else that is done to a pack: a second one helps with that. Buffers are shared with the threads:
 * to move them there and back would count as newly allocated memory each time, and make V8 collect garbage twice for every
 * pack.
 */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { ChunkCipher, ChunkKeys } from "./chunk-cipher";
import { collectYoung } from "./collect-young";
import { type BuiltPack, builtPack } from "./pack-builder";
import { type PackKeys, type SealedPack, type UnsealedPack, sealPack } from "./pack-sealing";
import { threadFile } from "./thread-file";

/** From here on a thread pays. Sealing this much takes 3 ms, and compressing it 10; starting a thread takes 40 to 100. */
export const THREAD_BYTES = 2 * 1024 * 1024;
const MAX_THREADS = Math.min(2, availableParallelism());
/** A pack that became smaller than this part of what was put in took its time. */
const COMPRESSED = 0.9;
/** So many behind it are more than one thread will catch up with: a second one costs a tenth of a second by itself. */
const WAITING_FOR_ANOTHER = 3;

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

  /** A pack of THREAD_BYTES and more is coming: a thread that is started now is there when it has come. */
  prepare(): void {
    if (this.#threads.length === 0) this.#start();
  }

  async seal(pack: UnsealedPack): Promise<BuiltPack> {
    const isLarge = pack.filledBytes >= THREAD_BYTES;
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

  /** Ends the threads. */
  close(): void {
    for (const { worker } of this.#threads.splice(0)) void worker.terminate();
  }

  #dispatch(): void {
    for (const thread of this.#threads) if (thread.isOnline && !thread.job) this.#give(thread);
  }

  #give(thread: Thread): void {
    thread.job = this.#waiting.shift();
    if (thread.job) thread.worker.postMessage(thread.job.pack);
  }

  #start(): void {
    if (this.#threads.length === MAX_THREADS) return;
    const { repositoryId, epoch } = this.#keys;
    const workerData: PackKeys = { repositoryId, epoch, chunkKey: this.#keys.chunkKeyAt(epoch) };
    const worker = new Worker(threadFile("pack-sealer-worker"), { workerData });
    const thread: Thread = { worker, isOnline: false, job: undefined };
    this.#threads.push(thread);
    worker.on("online", () => {
      thread.isOnline = true;
      this.#dispatch();
    });
    worker.on("message", (sealed: SealedPack) => {
      const { job } = thread;
      this.#give(thread);
      if (!job) return;
      if (sealed.sizeBytes < COMPRESSED * job.pack.filledBytes && this.#waiting.length >= WAITING_FOR_ANOTHER)
        this.#start();
      // A Buffer arrives as the Uint8Array that it is.
      const { buffer, byteOffset, length } = sealed.chunkList;
      job.resolve(builtPack(job.pack, { ...sealed, chunkList: Buffer.from(buffer, byteOffset, length) }));
    });
    worker.on("error", (error) => {
      this.#threads.splice(0, this.#threads.length, ...this.#threads.filter((other) => other !== thread));
      for (const job of [thread.job, ...this.#waiting.splice(0)]) job?.reject(error);
    });
  }
}
