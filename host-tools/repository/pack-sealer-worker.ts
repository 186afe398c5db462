// SPDX-License-Identifier: MIT
/** The thread behind `PackSealer`: takes packs one after the other, and gives each back sealed. */

import { parentPort, workerData } from "node:worker_threads";
import { ChunkCipher, type SealingKeys } from "./chunk-cipher";
import { type UnsealedChunk, sealPack } from "./pack-sealing";

export interface SealRequest {
  buffer: ArrayBuffer;
  sizeBytes: number;
  unsealed: UnsealedChunk[];
}

export interface SealAnswer {
  buffer: ArrayBuffer;
  id: Uint8Array;
}

const port = parentPort;
if (port === null) throw new Error("pack-sealer-worker runs in a worker thread only");
const cipher = new ChunkCipher(workerData as SealingKeys);

port.on("message", ({ buffer, sizeBytes, unsealed }: SealRequest) => {
  const id = Uint8Array.from(sealPack(cipher, new Uint8Array(buffer, 0, sizeBytes), unsealed));
  const answer: SealAnswer = { buffer, id };
  port.postMessage(answer, [buffer]);
});
