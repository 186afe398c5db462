// SPDX-License-Identifier: MIT
/** The main jobs of a backup program, Coffer beside restic, both through a relay with mutual TLS, in turns. */
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Cluster, median, memoryFolder, warm, writeRandom } from "./cluster";
import { ResticPeer } from "./restic-peer";
import { writeText } from "./text";

const MIB = 1024 * 1024;
const FIRST_MEBIBYTES = 128;
const FILES = 20_000;
const FILES_A_FOLDER = 40;

/** What the product promises of each job: its time over restic's. */
const GOALS: Record<string, number> = {
  "push, incompressible": 0.5,
  "push again, unchanged": 0.8,
  "push again, all read": 0.65,
  "one byte inserted": 0.75,
  "pull, incompressible": 0.75,
  "push, text": 0.5,
  "push, small files": 0.8,
  "small files, unchanged": 0.5,
  "pull, small files": 0.8,
};

export async function benchPeers(options: {
  mebibytes: number;
  runs: number;
  print: (line: string) => void;
}): Promise<void> {
  const { mebibytes, runs, print } = options;
  const version = ResticPeer.version();
  if (version === undefined) {
    print("peers: not run, restic and rclone are not installed (apt-get install restic rclone)");
    return;
  }
  const times = new Map<string, { coffer: number[]; restic: number[] }>();
  const stored: string[] = [];
  for (let run = 0; run < runs; run++) {
    const cluster = new Cluster(memoryFolder());
    const restic = new ResticPeer(cluster);
    try {
      await cluster.start();
      await cluster.startNode("bench");
      await restic.start();
      await runJobs(cluster, restic, mebibytes, {
        time: (job, who, seconds) => {
          const both = times.get(job) ?? { coffer: [], restic: [] };
          both[who].push(seconds);
          times.set(job, both);
        },
        stored: (job, cofferMiB, resticMiB) => {
          if (run === 0)
            stored.push(
              `  ${job.padEnd(24)}${cofferMiB.toFixed(1).padStart(9)} MiB${resticMiB.toFixed(1).padStart(9)} MiB` +
                `  ${(cofferMiB / resticMiB).toFixed(3)}`,
            );
        },
      });
    } finally {
      restic.close();
      cluster.close();
    }
  }
  print(
    `${mebibytes} MiB, ${mebibytes / 4} MiB of text, ${FILES} small files; medians of ${runs}; ${version}`,
  );
  print(`  ${"job".padEnd(24)}${"coffer".padStart(9)}${"restic".padStart(11)}  ratio  goal`);
  for (const [job, both] of times) {
    const [coffer, peer] = [median(both.coffer), median(both.restic)];
    const goal = GOALS[job];
    print(
      `  ${job.padEnd(24)}${coffer.toFixed(2).padStart(7)} s${peer.toFixed(2).padStart(9)} s  ${(coffer / peer).toFixed(2)}` +
        (goal === undefined ? "" : `   ${goal.toFixed(2)}`),
    );
  }
  print("  stored after");
  for (const line of stored) print(line);
}

interface Book {
  time(job: string, who: "coffer" | "restic", seconds: number): void;
  stored(job: string, cofferMiB: number, resticMiB: number): void;
}

async function runJobs(cluster: Cluster, restic: ResticPeer, mebibytes: number, book: Book): Promise<void> {
  const at = (name: string): string => join(cluster.folder, name);
  let before = { coffer: 0, restic: 0 };
  const noteStored = (job: string): void => {
    const now = { coffer: folderMiB(at("bench")), restic: folderMiB(restic.stored) };
    book.stored(job, now.coffer - before.coffer, now.restic - before.restic);
    before = now;
  };
  const both = async (
    job: string,
    coffer: readonly string[],
    peer: readonly string[],
    MiB = 0,
  ): Promise<void> => {
    warm(at("warm"), MiB);
    book.time(job, "coffer", (await cluster.run([...coffer, "--quiet"])).seconds);
    warm(at("warm"), MiB);
    book.time(job, "restic", (await restic.run(peer)).seconds);
  };
  // Servers run for months, and Node compiles what has run for a while: neither is measured in its first second.
  const first = at("first.bin");
  writeRandom(first, FIRST_MEBIBYTES);
  await cluster.run(["push", first, "--quiet"]);
  await cluster.run(["pull", "/first.bin", "--to", at("first-pulled.bin"), "--quiet"]);
  await restic.run(["backup", first]);
  await restic.run(["restore", "latest", "--target", at("first-restored")]);
  for (const name of ["first.bin", "first-pulled.bin", "first-restored"])
    rmSync(at(name), { recursive: true });
  noteStored("(first)");

  const source = at("source.bin");
  writeRandom(source, mebibytes);
  await both("push, incompressible", ["push", source], ["backup", source], mebibytes);
  noteStored("incompressible");
  await both("push again, unchanged", ["push", source], ["backup", source]);
  await both("push again, all read", ["push", "--force", source], ["backup", "--force", source]);
  insertByte(source);
  await both("one byte inserted", ["push", source], ["backup", source]);
  noteStored("one byte inserted");
  await both(
    "pull, incompressible",
    ["pull", "/source.bin", "--to", at("pulled.bin")],
    ["restore", "latest", "--target", at("restored")],
    mebibytes,
  );
  for (const name of ["pulled.bin", "restored", "source.bin"]) rmSync(at(name), { recursive: true });

  const text = at("text.txt");
  writeText(text, (mebibytes / 4) * MIB);
  noteStored("(before text)");
  await both("push, text", ["push", text], ["backup", text], mebibytes / 4);
  noteStored("text");
  rmSync(text);

  const tree = at("tree");
  makeTree(tree);
  await both("push, small files", ["push", tree], ["backup", tree], 200);
  noteStored("small files");
  await both("small files, unchanged", ["push", tree], ["backup", tree]);
  await both(
    "pull, small files",
    ["pull", "/tree", "--to", at("pulled")],
    ["restore", "latest", "--target", at("restored")],
    200,
  );
}

function insertByte(path: string): void {
  const bytes = readFileSync(path);
  const file = openSync(path, "w");
  writeSync(file, Buffer.from("x"));
  for (let at = 0; at < bytes.length; at += 64 * MIB) writeSync(file, bytes.subarray(at, at + 64 * MIB));
  closeSync(file);
}

/** Half of each file is text and half is noise: 6.6 KiB on average, 132 MiB in all. */
function makeTree(folder: string): void {
  const words = randomBytes(512).toString("hex").repeat(8);
  for (let i = 0; i < FILES; i++) {
    const parent = join(folder, `folder${Math.floor(i / FILES_A_FOLDER)}`);
    if (i % FILES_A_FOLDER === 0) mkdirSync(parent, { recursive: true });
    const half = 1700 + ((i * 7919) % 3400);
    writeFileSync(
      join(parent, `file${i}`),
      Buffer.concat([Buffer.from(words.slice(i % 4096, (i % 4096) + half)), randomBytes(half)]),
    );
  }
}

function folderMiB(path: string): number {
  const said = spawnSync("du", ["-sb", path]).stdout.toString();
  return Number(said.split("\t")[0]) / MIB;
}
