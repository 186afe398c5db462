// SPDX-License-Identifier: MIT
/**
 * A file of 256 MiB pushed and pulled by `coffer` itself, to the firmware on the real Moddable SDK in the memory that the root
 * manifest gives a board, none of which can grow: that it is still there in the end is the proof.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BOARD_LIMITS } from "../firmware/core/device-config";
import { boardMemory } from "../test-sim/moddable/board-behind-relay";
import { buildModdable, moddableSdk } from "../test-sim/moddable/moddable-build";
import { ModdableProgram } from "../test-sim/moddable/moddable-program";
import { Cluster, memoryFolder, writeRandom } from "./cluster";

const MEGA = 1e6;
const MIB = 1024 * 1024;
const FRAGMENT_BYTES = 4096;

export async function benchBoardFile(options: {
  mebibytes: number;
  print: (line: string) => void;
}): Promise<void> {
  const { mebibytes, print } = options;
  const sdk = moddableSdk();
  if (sdk === undefined) {
    print("board-file: not run: no Moddable SDK; set MODDABLE to its folder (test-sim/moddable/README.md)");
    return;
  }
  const cluster = new Cluster(memoryFolder());
  let board: ModdableProgram | undefined;
  try {
    await cluster.start();
    board = await startBoard(cluster, sdk);
    const source = join(cluster.folder, "source.bin");
    const target = join(cluster.folder, "target.bin");
    writeRandom(source, mebibytes);
    const push = await cluster.run(["push", source, "--to", "/", "--quiet"]);
    const pull = await cluster.run(["pull", "/source.bin", "--to", target, "--quiet"]);
    if (digestOf(source) !== digestOf(target)) throw new Error("pull: the bytes differ");
    const { chunkBytes, slots, stackSlots } = boardMemory();
    print(
      `board-file: ${mebibytes} MiB by the CLI, in ${slots} slots, ${chunkBytes} bytes of chunks, stack ${stackSlots}`,
    );
    for (const [name, { seconds }] of [
      ["push", push],
      ["pull", pull],
    ] as const)
      print(`  ${name}  ${seconds.toFixed(1)} s, ${((mebibytes * MIB) / MEGA / seconds).toFixed(1)} MB/s`);
    await board.line("memory", board.lines.length);
    print(`  ${board.lines.filter((line) => line.startsWith("memory")).at(-1) ?? ""} (garbage included)`);
  } catch (error) {
    print(`  the board's last words: ${board?.lines.slice(-5).join("; ") ?? "none"}`);
    throw error;
  } finally {
    await board?.stop();
    cluster.close();
  }
}

async function startBoard(cluster: Cluster, sdk: string): Promise<ModdableProgram> {
  const name = "board";
  const folder = join(cluster.folder, name);
  mkdirSync(folder);
  await cluster.run(["device", "add", name, "--certs", join(cluster.folder, "certs")]);
  const { key, certificate, ca } = await cluster.state.loadIdentity("device", name);
  const { pairingSecret } = await cluster.state.loadDevice(name);
  const board = await ModdableProgram.start(
    { ...(await buildModdable(sdk)), newFolder: () => Promise.resolve(folder) },
    {
      name,
      suite: "device",
      identity: { key, cert: certificate, ca },
      device: {
        name,
        relay: { host: "127.0.0.1", port: cluster.port },
        pairingSecret: Buffer.from(pairingSecret).toString("hex"),
        limits: BOARD_LIMITS,
        maxFragmentBytes: FRAGMENT_BYTES,
      },
    },
    boardMemory(),
  );
  await board.line("state online");
  return board;
}

function digestOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
