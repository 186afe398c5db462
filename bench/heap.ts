// SPDX-License-Identifier: MIT
/** The heap of a board while it stores and sends one blob, for a small and a large one: the figures must be equal. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DeviceClient } from "../host-tools/remote/device-client";
import { Board } from "../test-sim/board";
import type { XsCounters } from "../test-sim/xs-counters";
import { Cluster, memoryFolder } from "./cluster";

const MIB = 1024 * 1024;

export async function benchHeap(options: {
  mebibytes: readonly number[];
  print: (line: string) => void;
}): Promise<void> {
  const cluster = new Cluster(memoryFolder());
  try {
    await cluster.start();
    await cluster.run(["device", "add", "board", "--certs", join(cluster.folder, "certs")]);
    options.print("XS board: heap while one blob is stored and read");
    for (const size of options.mebibytes) await measure(cluster, size, options.print);
  } finally {
    cluster.close();
  }
}

async function measure(cluster: Cluster, mebibytes: number, print: (line: string) => void): Promise<void> {
  const { relay, client } = await cluster.state.loadConfig();
  const identity = await cluster.state.loadIdentity("client", client);
  const own = await cluster.state.loadIdentity("device", "board");
  const { pairingSecret } = await cluster.state.loadDevice("board");
  const cardFolder = mkdtempSync(join(cluster.folder, "card-"));
  let isOnline = (): void => undefined;
  const online = new Promise<void>((resolve) => {
    isOnline = resolve;
  });
  const board = new Board({
    name: "board",
    identity: { key: own.key, cert: own.chain, ca: own.ca },
    cardFolder,
    relay,
    pairings: [pairingSecret],
    onState: (state) => {
      if (state === "online") isOnline();
    },
  });
  await board.boot();
  await online;
  const device = await DeviceClient.open({ relay, identity, device: "board", pairingSecret });
  try {
    // one random piece again and again: the blob's bytes do not matter here, the client's memory does
    const piece = randomBytes(MIB);
    const parts = Array.from({ length: mebibytes }, () => piece);
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    const id = new Uint8Array(hash.digest());
    const started = performance.now();
    await device.put(id, parts);
    const stored = performance.now();
    const back = createHash("sha256");
    for await (const bytes of device.getStream(id)) back.update(bytes);
    if (!back.digest().equals(id)) throw new Error("the blob came back different");
    const read = performance.now();
    const rate = (ms: number): string => `${((mebibytes * 1000) / ms).toFixed(1)} MiB/s`;
    const peak = await board.idle();
    const live = await board.collectGarbage();
    print(
      `  ${String(mebibytes).padStart(5)} MiB  stored ${rate(stored - started)}, read ${rate(read - stored)}; ` +
        `peak ${heap(peak)}; live ${live.slots} slots, ${live.chunkBytes} B of chunks`,
    );
  } finally {
    await device.close();
    await board.cutPower();
    rmSync(cardFolder, { recursive: true });
  }
}

function heap(counters: XsCounters): string {
  const { slotsPeak, slotBytes, chunkBytesPeak, blockBytes, blockBytesLimit } = counters;
  return `${slotsPeak} slots of ${slotBytes} B + ${chunkBytesPeak} B of chunks, block ${blockBytes} of ${blockBytesLimit} B`;
}
