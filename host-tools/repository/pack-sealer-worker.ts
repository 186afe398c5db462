// SPDX-License-Identifier: MIT
/** A thread of `PackSealer`: takes packs one after the other, and gives each back sealed. */

import { parentPort, workerData } from "node:worker_threads";
import { ChunkCipher } from "./chunk-cipher";
import { YoungCollector } from "./collect-young";
import { type PackKeys, type SealedPack, type UnsealedPack, sealPack } from "./pack-sealing";

const port = parentPort;
if (port === null) throw new Error("pack-sealer-worker runs in a worker thread only");
const { repositoryId, epoch, chunkKey } = workerData as PackKeys;
const sealingKey = Buffer.from(chunkKey);
const garbage = new YoungCollector(8 * 1024 * 1024);
const cipher = new ChunkCipher({ repositoryId, epoch, chunkKeyAt: () => sealingKey });

port.on("message", (pack: UnsealedPack) => {
  // A Buffer arrives as the Uint8Array that it is.
  const { buffer, byteOffset, length } = pack.chunkList;
  const sealed: SealedPack = sealPack(repositoryId, cipher, {
    ...pack,
    chunkList: Buffer.from(buffer, byteOffset, length),
  });
  port.postMessage({ ...sealed, id: Uint8Array.from(sealed.id) });
  garbage.passed(pack.filledBytes);
});
