// SPDX-License-Identifier: MIT
/** The thread of `ChunkOpener`: takes ranges one after the other, and gives each back opened. */

import { parentPort, workerData } from "node:worker_threads";
import { DataError } from "../../firmware/protocol/data-error";
import { CHUNK_ID_BYTES, ChunkCipher } from "./chunk-cipher";
import { NOT_OPENED, type OpenedRange, type OpeningKeys, type SealedRange } from "./chunk-opening";
import { YoungCollector } from "./collect-young";
import { ChunkKind } from "./repository-keys";

const port = parentPort;
if (port === null) throw new Error("chunk-opener-worker runs in a worker thread only");
const { repositoryId, chunkKeys } = workerData as OpeningKeys;
const keys = chunkKeys.map((key) => Buffer.from(key));
const cipher = new ChunkCipher({
  repositoryId,
  epoch: keys.length - 1,
  chunkKeyAt: (epoch) => {
    const key = keys[epoch];
    if (!key) throw new DataError("forged", "sealed with keys that are not known");
    return key;
  },
});
const garbage = new YoungCollector(16 * 1024 * 1024);

port.on("message", ({ bytes, ids, places: sealedPlaces, slab, usedBytes }: SealedRange) => {
  const places = new Int32Array(sealedPlaces.length).fill(NOT_OPENED);
  let used = usedBytes;
  const take = (length: number): Buffer => {
    if (used + length > slab.length) throw new RangeError("no room");
    used += length;
    return Buffer.from(slab.buffer, slab.byteOffset + used - length, length);
  };
  for (let i = 0; 2 * i < places.length; i++) {
    const from = sealedPlaces[2 * i] ?? 0;
    const sealed = bytes.subarray(from, from + (sealedPlaces[2 * i + 1] ?? 0));
    const id = ids.subarray(i * CHUNK_ID_BYTES, (i + 1) * CHUNK_ID_BYTES);
    try {
      const { length } = cipher.open(ChunkKind.data, id, sealed, take);
      places[2 * i] = used - length;
      places[2 * i + 1] = length;
    } catch {
      // The other thread finds out why, when it opens it itself.
    }
  }
  const opened: OpenedRange = { places, usedBytes: used };
  port.postMessage(opened);
  garbage.passed(bytes.length);
});
