// SPDX-License-Identifier: MIT
/**
 * Push and pull of incompressible data through the relay to a host node, beside a bare two-hop mutual-TLS pipe of the
 * same bytes in the same run: the ratio is the figure, the seconds belong to the machine.
 */
import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Cluster, median, memoryFolder, warm, writeRandom } from "./cluster";
import { startPipeEnd, writePipeMaterial } from "./pipe-process";
import { readFigures } from "./process-figures";

const MIB = 1024 * 1024;

export async function benchPush(options: {
  mebibytes: number;
  runs: number;
  print: (line: string) => void;
}): Promise<void> {
  const { mebibytes, runs, print } = options;
  const cluster = new Cluster(memoryFolder());
  try {
    const relay = await cluster.start();
    const node = await cluster.startNode("bench");
    const material = await writePipeMaterial(cluster);
    const source = join(cluster.folder, "source.bin");
    const pipes: number[] = [];
    const filePipes: number[] = [];
    const pushes: number[] = [];
    const pulls: number[] = [];
    let clientPeak = 0;
    let clientCpu = 0;
    for (let run = 0; run < runs; run++) {
      pipes.push(await runPipe(material, mebibytes * MIB));
      writeRandom(source, mebibytes);
      warm(source, mebibytes);
      const stored = join(cluster.folder, "stored.bin");
      filePipes.push(await runPipe(material, mebibytes * MIB, { source, stored }));
      rmSync(stored);
      warm(source, mebibytes);
      const push = await cluster.run(["push", source, "--to", `/run${run}`, "--quiet"]);
      pushes.push(push.seconds);
      clientPeak = Math.max(clientPeak, push.figures.peakMiB);
      clientCpu = Math.max(clientCpu, push.figures.cpuSeconds);
      const target = join(cluster.folder, "target.bin");
      warm(target, mebibytes);
      const pull = await cluster.run(["pull", `/run${run}/source.bin`, "--to", target, "--quiet"]);
      pulls.push(pull.seconds);
      clientPeak = Math.max(clientPeak, pull.figures.peakMiB);
      if (digestOf(source) !== digestOf(target)) throw new Error("pull: the bytes differ");
      // the next run is as fresh as this one
      await cluster.run(["rm", "-r", `/run${run}`]);
      rmSync(target);
    }
    const rate = (seconds: number): string => `${(mebibytes / seconds).toFixed(0)} MiB/s`;
    const [pipe, filePipe, push, pull] = [pipes, filePipes, pushes, pulls].map(median) as [
      number,
      number,
      number,
      number,
    ];
    print(`${mebibytes} MiB incompressible, medians of ${runs}`);
    print(`  bare two-hop mTLS pipe  ${pipe.toFixed(2)} s  ${rate(pipe)}`);
    print(`  the same, file to file  ${filePipe.toFixed(2)} s  ${rate(filePipe)}`);
    for (const [name, seconds] of [
      ["push", push],
      ["pull", pull],
    ] as const) {
      const ratios = `${(pipe / seconds).toFixed(2)} of the pipe's speed, ${(filePipe / seconds).toFixed(2)} file to file`;
      print(`  ${name}                    ${seconds.toFixed(2)} s  ${rate(seconds)}  ${ratios}`);
    }
    print(`  client: peak ${clientPeak.toFixed(0)} MiB, ${clientCpu.toFixed(2)} s of CPU a push`);
    print(`  relay: ${figuresOf(relay)}`);
    print(`  node: ${figuresOf(node)}`);
  } finally {
    cluster.close();
  }
}

function figuresOf(child: ChildProcess): string {
  const figures = readFigures(child.pid ?? 0);
  return figures === undefined
    ? "gone"
    : `peak ${figures.peakMiB.toFixed(0)} MiB, ${figures.cpuSeconds.toFixed(2)} s of CPU in all`;
}

function digestOf(path: string): string {
  const file = openSync(path, "r");
  const hash = createHash("sha256");
  const block = Buffer.alloc(4 * MIB);
  for (let read = readSync(file, block); read > 0; read = readSync(file, block))
    hash.update(block.subarray(0, read));
  closeSync(file);
  return hash.digest("hex");
}

/** Seconds from the source's first byte to the sink's word that it has the last. */
async function runPipe(
  material: string,
  bytes: number,
  files?: { source: string; stored: string },
): Promise<number> {
  const children: ChildProcess[] = [];
  const start = async (...words: string[]): Promise<string> => {
    const { child, line } = await startPipeEnd(words);
    children.push(child);
    return line;
  };
  try {
    const sinkPort = await start("sink", material, String(bytes), ...(files ? [files.stored] : []));
    const middlePort = await start("middle", material, sinkPort);
    return (
      Number(await start("source", material, middlePort, String(bytes), ...(files ? [files.source] : []))) /
      1000
    );
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
}
