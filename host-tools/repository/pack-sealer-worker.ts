// SPDX-License-Identifier: MIT
/** The thread behind `PackSealer`: takes packs one after the other, and gives each back sealed. */

import { parentPort, workerData } from "node:worker_threads";
import { ChunkCipher } from "./chunk-cipher";
import { type UnsealedChunk, sealPack } from "./pack-sealing";

export interface SealRequest {
  /** Shared with the other thread, which leaves it alone until the answer. */
  buffer: SharedArrayBuffer;
  sizeBytes: number;
  unsealed: UnsealedChunk[];
}

/** The keys of the epoch that seals when the thread is started. */
export interface SealerKeys {
  repositoryId: Uint8Array;
  epoch: number;
  chunkKey: Uint8Array;
}

export interface SealAnswer {
  id: Uint8Array;
}

const port = parentPort;
if (port === null) throw new Error("pack-sealer-worker runs in a worker thread only");
const { repositoryId, epoch, chunkKey } = workerData as SealerKeys;
const sealingKey = Buffer.from(chunkKey);
const cipher = new ChunkCipher({ repositoryId, epoch, chunkKeyAt: () => sealingKey });

port.on("message", ({ buffer, sizeBytes, unsealed }: SealRequest) => {
  const id = Uint8Array.from(sealPack(cipher, new Uint8Array(buffer, 0, sizeBytes), unsealed));
  const answer: SealAnswer = { id };
  port.postMessage(answer);
});
