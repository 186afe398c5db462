// SPDX-License-Identifier: MIT
/** Small files: the same bytes as ever more files, and the round trips each push took: those of its packs alone. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { openRepository } from "../host-tools/open-repository";
import { startUnlocking } from "../host-tools/repository/unlock";
import { Cluster, PASSPHRASE, memoryFolder } from "./cluster";

const TOTAL_MIB = 120;

export async function benchTree(options: {
  counts: readonly number[];
  print: (line: string) => void;
}): Promise<void> {
  const cluster = new Cluster(memoryFolder());
  try {
    await cluster.start();
    await cluster.startNode("bench");
    options.print(`${TOTAL_MIB} MiB of small files, folders of 20`);
    for (const count of options.counts) {
      const folder = join(cluster.folder, `tree${count}`);
      makeTree(folder, count);
      const opened = await openRepository({
        state: cluster.state,
        devices: ["bench"],
        passphrase: PASSPHRASE,
        unlocking: startUnlocking(cluster.state.home, PASSPHRASE),
        signal: new AbortController().signal,
        onWarning: options.print,
      });
      const [device] = opened.devices;
      if (device === undefined) throw new Error("no device");
      const before = { ...device.stats };
      const started = performance.now();
      await opened.repository.push({ sources: [folder], to: "/" });
      const first = (performance.now() - started) / 1000;
      const after = { ...device.stats };
      const again = performance.now();
      await opened.repository.push({ sources: [folder], to: "/" });
      const second = (performance.now() - again) / 1000;
      options.print(
        `  ${String(count).padStart(6)} files  push ${first.toFixed(2)} s, ${after.roundTrips - before.roundTrips} round trips, ` +
          `${((after.bytesSent - before.bytesSent) / 1024 / 1024).toFixed(1)} MiB sent; again ${second.toFixed(2)} s`,
      );
      await opened.close();
      rmSync(folder, { recursive: true });
    }
  } finally {
    cluster.close();
  }
}

function makeTree(folder: string, count: number): void {
  const bytes = Math.floor((TOTAL_MIB * 1024 * 1024) / count);
  for (let i = 0; i < count; i++) {
    const parent = join(folder, `folder${Math.floor(i / 20)}`);
    if (i % 20 === 0) mkdirSync(parent, { recursive: true });
    writeFileSync(join(parent, `file${i}`), randomBytes(bytes));
  }
}
