// SPDX-License-Identifier: MIT
/**
 * The firmware on the real Moddable SDK (engine, TLS and our C in a release build for Linux, with an ESP32's memory) behind
 * the real relay: MB/s each way, and under callgrind the instructions that each byte costs the device.
 * docs/board-speed.md says what they mean for the chip.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BoardBehindRelay, boardMemory } from "../test-sim/moddable/board-behind-relay";
import { type ModdableBuild, buildModdable, moddableSdk } from "../test-sim/moddable/moddable-build";
import { Callgrind, hasValgrind } from "./callgrind";
import { median, memoryFolder } from "./cluster";
import { readFigures } from "./process-figures";

const MEGA = 1e6;
const MIB = 1024 * 1024;
/** What a client makes for a board: `preferredBlobBytes`. */
const BLOB_BYTES = 4 * MIB;
/** Under callgrind all is fifty times slower. */
const COUNTED_BYTES = 2 * MIB;
const PATIENCE_MS = 600_000;
const TOP = 12;

export async function benchBoard(options: {
  mebibytes: number;
  runs: number;
  print: (line: string) => void;
}): Promise<void> {
  const { print } = options;
  const sdk = moddableSdk();
  if (sdk === undefined) {
    print("board: not run: no Moddable SDK; set MODDABLE to its folder (test-sim/moddable/README.md)");
    return;
  }
  const folder = mkdtempSync(join(memoryFolder(), "coffer-bench-board-"));
  try {
    // The card in memory, so that no disk is measured.
    const build: ModdableBuild = {
      ...(await buildModdable(sdk)),
      newFolder: (name) => {
        mkdirSync(join(folder, name));
        return Promise.resolve(join(folder, name));
      },
    };
    await measureSpeed(build, options);
    if (hasValgrind()) await countInstructions(build, folder, print);
    else print("  instructions: not counted: no valgrind (Debian: apt-get install valgrind)");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureSpeed(
  build: ModdableBuild,
  { mebibytes, runs, print }: Parameters<typeof benchBoard>[0],
): Promise<void> {
  const board = await BoardBehindRelay.start(build, { name: "speed", memory: boardMemory() });
  try {
    const [pushes, pulls, cpus]: [number[], number[], [number[], number[]]] = [[], [], [[], []]];
    const cpuSeconds = (): number => readFigures(board.program.pid)?.cpuSeconds ?? 0;
    for (let run = 0; run < runs; run++) {
      const blobs = Array.from({ length: Math.ceil((mebibytes * MIB) / BLOB_BYTES) }, () =>
        randomBytes(BLOB_BYTES),
      );
      const ids: Buffer[] = [];
      const started = performance.now();
      const cpuStarted = cpuSeconds();
      for (const blob of blobs) ids.push(await board.push(blob));
      const middle = performance.now();
      const cpuMiddle = cpuSeconds();
      for (const id of ids) await board.client.get(id, 0, BLOB_BYTES);
      pushes.push((middle - started) / 1000);
      pulls.push((performance.now() - middle) / 1000);
      cpus[0].push(cpuMiddle - cpuStarted);
      cpus[1].push(cpuSeconds() - cpuMiddle);
      await board.client.delete(ids);
    }
    const bytes = Math.ceil((mebibytes * MIB) / BLOB_BYTES) * BLOB_BYTES;
    print(`board: ${mebibytes} MiB in blobs of 4 MiB through TLS and the relay, medians of ${runs}`);
    for (const [name, seconds, cpu] of [
      ["push", median(pushes), median(cpus[0])],
      ["pull", median(pulls), median(cpus[1])],
    ] as const)
      print(
        `  ${name}  ${(bytes / MEGA / seconds).toFixed(1)} MB/s, ${cpu.toFixed(2)} s of CPU on the device`,
      );
    print(`  ${board.program.lines.filter((line) => line.startsWith("memory")).at(-1) ?? ""}`);
  } finally {
    await board.close();
  }
}

async function countInstructions(
  build: ModdableBuild,
  folder: string,
  print: (line: string) => void,
): Promise<void> {
  const callgrind = new Callgrind(join(folder, "callgrind.out"));
  const board = await BoardBehindRelay.start(build, {
    name: "instructions",
    memory: boardMemory(),
    under: callgrind.command,
    patienceMs: PATIENCE_MS,
  });
  try {
    const blob = randomBytes(COUNTED_BYTES);
    const count = async (name: string, run: () => Promise<unknown>): Promise<void> => {
      callgrind.zero(board.program.pid);
      await run();
      const { instructions, functions } = callgrind.dump(board.program.pid);
      print(`  ${name}  ${(instructions / COUNTED_BYTES).toFixed(1)} instructions a byte, most of them in`);
      for (const one of functions.slice(0, TOP))
        print(`    ${(one.instructions / COUNTED_BYTES).toFixed(1).padStart(6)}  ${one.name}`);
    };
    await board.push(randomBytes(MIB / 8)); // what happens once happens before it is counted
    let id: Buffer | undefined;
    await count("push", async () => (id = await board.push(blob)));
    await count("pull", () => board.client.get(id ?? Buffer.alloc(0), 0, blob.length));
  } finally {
    await board.close();
  }
}
