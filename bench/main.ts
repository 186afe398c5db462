// SPDX-License-Identifier: MIT
/**
 * `npm run bench [-- NAME...] [--quick]`: what Coffer reaches, beside what the machine allows, in one run.
 * Folders are made in memory (/dev/shm) unless COFFER_BENCH_FOLDER names another place.
 */
import { benchBoard } from "./board";
import { benchBoardFile } from "./board-file";
import { benchHeap } from "./heap";
import { benchIdle } from "./idle";
import { benchLatency } from "./latency";
import { benchMemory } from "./memory";
import { benchPeers } from "./peers";
import { benchPush } from "./push";
import { benchTree } from "./tree";

const words = process.argv.slice(2);
const isQuick = words.includes("--quick");
const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const benches: Record<string, () => Promise<void>> = {
  push: () => benchPush({ mebibytes: isQuick ? 256 : 1024, runs: 3, print }),
  tree: () => benchTree({ counts: isQuick ? [200, 2000] : [2000, 20_000], print }),
  heap: () => benchHeap({ mebibytes: isQuick ? [1, 64] : [1, 1024], print }),
  latency: () => benchLatency({ files: isQuick ? 10_000 : 100_000, runs: 5, print }),
  memory: () => benchMemory({ counts: isQuick ? [20_000] : [100_000, 400_000], print }),
  peers: () => benchPeers({ mebibytes: isQuick ? 256 : 1024, runs: isQuick ? 1 : 3, print }),
  board: () => benchBoard({ mebibytes: isQuick ? 16 : 64, runs: 3, print }),
  "board-file": () => benchBoardFile({ mebibytes: isQuick ? 32 : 256, print }),
  idle: () => benchIdle({ devices: isQuick ? 100 : 1000, runs: 3, print }),
};

const named = words.filter((word) => word in benches);
for (const [name, run] of Object.entries(benches)) {
  if (named.length > 0 && !named.includes(name)) continue;
  await run();
}
