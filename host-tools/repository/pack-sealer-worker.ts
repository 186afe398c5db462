// SPDX-License-Identifier: MIT
/** The thread behind `PackSealer`: takes packs one after the other, and gives each back sealed. */

import { parentPort, workerData } from "node:worker_threads";
import { ChunkCipher, type SealingKeys } from "./chunk-cipher";
import { type UnsealedChunk, sealPack } from "./pack-sealing";

export interface SealRequest {
  /** Shared with the other thread, which leaves it alone until the answer. */
  buffer: SharedArrayBuffer;
  sizeBytes: number;
  unsealed: UnsealedChunk[];
}

export interface SealAnswer {
  id: Uint8Array;
}

const port = parentPort;
if (port === null) throw new Error("pack-sealer-worker runs in a worker thread only");
const cipher = new ChunkCipher(workerData as SealingKeys);

port.on("message", ({ buffer, sizeBytes, unsealed }: SealRequest) => {
  const id = Uint8Array.from(sealPack(cipher, new Uint8Array(buffer, 0, sizeBytes), unsealed));
  const answer: SealAnswer = { id };
  port.postMessage(answer);
});
