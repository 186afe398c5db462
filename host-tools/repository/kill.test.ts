// SPDX-License-Identifier: MIT
/** SIGKILL, for real: a push in a process of its own, killed again and again, and its memory measured. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readdirSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { PushReport } from "./repository";
import { FolderDevice } from "./testing/folder-device";
import { Scratch, assertSameTree, noise } from "./testing/scratch";

const MIB = 1024 * 1024;
const program = join(import.meta.dirname, "testing", "push-process.ts");
/** With which `coffer` runs, as far as they are about memory. */
const coffer = readFileSync(join(import.meta.dirname, "..", "bin", "coffer.js"), "utf8");
const [, settings = "", flags = ""] =
  /^#!\S+ -S (.*) node (.*)$/m.exec(coffer) ?? assert.fail("coffer.js begins in another way");
const variables: NodeJS.ProcessEnv = Object.fromEntries(
  settings
    .split(" ")
    .map((setting) => setting.split("=") as [string, string])
    .filter(([name]) => name.startsWith("MALLOC_")),
);

describe("a push in a process of its own", function () {
  this.timeout(180_000);
  let scratch: Scratch;

  beforeEach(async () => {
    scratch = new Scratch();
    await scratch.create();
  });
  afterEach(async () => {
    await scratch.remove();
  });

  /** The report, or undefined when it was killed. `isTime` is asked every few milliseconds. */
  async function push(
    source: string,
    pauseMs: number,
    isTime?: () => boolean,
  ): Promise<(PushReport & { peakBytes: number }) | undefined> {
    const words = [program, scratch.home, scratch.path("device"), source, String(pauseMs)];
    const child = spawn(process.execPath, [...flags.split(" "), "--import", "tsx", ...words], {
      env: { ...process.env, ...variables },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const timer = setInterval(() => {
      if (isTime?.() === true) child.kill("SIGKILL");
    }, 5);
    let output = "";
    child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    clearInterval(timer);
    if (code === null) return undefined;
    assert.equal(code, 0);
    return JSON.parse(output) as PushReport & { peakBytes: number };
  }

  it("goes on after kill -9, in the middle of the pack it was in", async () => {
    scratch.write("tree/big", noise(21, 8 * MIB));
    for (let i = 0; i < 30; i++) scratch.write(`tree/small/${String(i)}`, noise(200 + i, 3000));
    const contentBytes = 8 * MIB + 30 * 3000;
    const source = scratch.path("tree");
    const blobs = (): number => countIn(scratch.path("device/blobs"));
    let kills = 0;
    let storedBytes = 0;
    let report = await push(source, 4, () => blobs() >= 1);
    for (let goal = 2; !report; goal += 2) {
      kills++;
      storedBytes = sizeOf(scratch.path("device/blobs"));
      report = await push(source, 4, () => blobs() >= goal);
    }
    assert.ok(kills >= 2, `${String(kills)} kills`);
    // Packs have a little more in them than the chunks.
    const leftBytes = contentBytes - 0.99 * storedBytes;
    assert.ok(storedBytes > 2 * MIB, `${String(storedBytes)} bytes stored before the last push`);
    assert.ok(report.hashedBytes <= leftBytes, `${String(report.hashedBytes)} > ${String(leftBytes)}`);
    const uploads = readFileSync(scratch.path("device", Buffer.from("sent").toString("hex")), "utf8")
      .trim()
      .split("\n");
    assert.ok(
      uploads.some((line) => Number(line.split(" ")[1]) > 0),
      "some upload went on in the middle",
    );
    assert.ok(blobs() <= 16, `${String(blobs())} blobs: nothing was sent twice under another id`);
    const device = new FolderDevice({ folder: scratch.path("device") });
    const fresh = await scratch.open([device], { home: scratch.path("fresh") });
    await fresh.pull({ remote: "/tree", to: scratch.path("back") });
    assertSameTree(scratch.path("back"), source);
  });

  it("keeps its memory within bounds", async () => {
    const path = scratch.path("large");
    const file = openSync(path, "w");
    for (let i = 0; i < 400; i++) writeSync(file, noise(1000 + i, MIB));
    closeSync(file);
    const small = await push(scratch.write("tiny", "x"), 0);
    const large = await push(path, 0);
    assert.ok(small && large);
    const grown = (large.peakBytes - small.peakBytes) / MIB;
    assert.ok(large.peakBytes < 240 * MIB, `peak ${String(large.peakBytes / MIB)} MiB`);
    assert.ok(grown < 80, `400 MiB took ${grown.toFixed(0)} MiB more than one byte`);
  });
});

/** Bytes of the blobs that are there whole. */
function sizeOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

function countIn(folder: string): number {
  try {
    return readdirSync(folder).length;
  } catch {
    return 0;
  }
}
