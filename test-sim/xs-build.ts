// SPDX-License-Identifier: MIT
/**
 * Compiles the XS board (the engine and `host/*.c`) once and caches it by a hash of everything that goes in. With 32-bit
 * pointers where the compiler can: then a slot has 16 bytes, as on ESP32. A 64-bit build has slots of 32 and is given
 * a block twice as large, which is about 4 % more than the device has.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";

import { projectRoot } from "./project-root";
import { XS_INTEGRITY, cacheFolder, putInPlace, xsSources } from "./xs-sources";

const run = promisify(execFile);

export interface XsBoardProgram {
  path: string;
  /** Width of a pointer. */
  bits: 32 | 64;
}

/** Told while compiling, which takes 10 to 30 seconds the first time. */
export type BuildProgress = (done: number, total: number) => void;

const ENGINE_DEFINES = [
  '-DXSPLATFORM="xs-board-platform.h"',
  "-DmxRun=1",
  "-DmxParse=1",
  "-DmxDebug=1", // errors name their line; the debugger can attach
  "-DmxInstrument=1", // counters of stack and collections
  "-DmxMetering=1", // counted instructions, watchdog
  "-DmxBoundsCheck=1", // a stack overflow is a status, not a crash
];
/** Of the engine's files these serve other programs: heap snapshots and a profiler. */
const ENGINE_WITHOUT = new Set(["xsSnapshot.c", "xsProfile.c"]);
const WIDTH_32 = ["-m32", "-msse2", "-mfpmath=sse"];

let building: Promise<XsBoardProgram> | undefined;

/** Resolves with the program, compiled now if need be. Parallel builds are harmless. */
export function xsBoardProgram(onProgress?: BuildProgress): Promise<XsBoardProgram> {
  building ??= findOrBuild(onProgress).catch((error: unknown) => {
    building = undefined; // the remedy may be applied while this process lives
    throw error;
  });
  return building;
}

async function findOrBuild(onProgress?: BuildProgress): Promise<XsBoardProgram> {
  const cc = process.env.CC ?? "cc";
  const host = join(projectRoot(), "test-sim", "host");
  const hash = createHash("sha256")
    .update(XS_INTEGRITY)
    .update(await compilerVersion(cc));
  hash.update([...ENGINE_DEFINES, ...WIDTH_32, process.arch].join(" "));
  for (const name of (await readdir(host)).sort()) hash.update(name).update(await readFile(join(host, name)));
  const stem = join(cacheFolder(), `xs-board-${hash.digest("hex").slice(0, 16)}`);

  const wanted = process.env.COFFER_XS_BITS === "64" ? 64 : 32;
  if (wanted === 32 && existsSync(`${stem}-32`)) return { path: `${stem}-32`, bits: 32 };
  const bits = wanted === 32 && (await canCompile32(cc)) ? 32 : 64;
  const path = `${stem}-${String(bits)}`;
  if (!existsSync(path)) await compile(cc, host, bits === 32 ? WIDTH_32 : [], path, onProgress);
  return { path, bits };
}

async function compilerVersion(cc: string): Promise<string> {
  try {
    return (await run(cc, ["--version"])).stdout;
  } catch (cause) {
    throw new Error(
      `no C compiler answers as "${cc}": the XS board is compiled on this machine, so install one ` +
        `(Debian: apt-get install gcc libc6-dev; macOS: xcode-select --install) or set CC`,
      { cause },
    );
  }
}

async function canCompile32(cc: string): Promise<boolean> {
  await mkdir(cacheFolder(), { recursive: true });
  const work = await mkdtemp(join(cacheFolder(), "probe-"));
  try {
    const source = join(work, "probe.c");
    await writeFile(
      source,
      '#include <math.h>\n#include <stdio.h>\nint main(void) { return puts("") < 0; }\n',
    );
    await run(cc, [...WIDTH_32, source, "-o", join(work, "probe")]);
    await run(join(work, "probe"));
    return true;
  } catch {
    return false; // no 32-bit library, or no kernel for it
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function compile(
  cc: string,
  host: string,
  width: string[],
  target: string,
  onProgress?: BuildProgress,
) {
  const xs = await xsSources();
  const work = await mkdtemp(join(cacheFolder(), "build-"));
  try {
    const jobs: string[][] = [];
    const common = [...width, "-O2", ...ENGINE_DEFINES, `-I${host}`, "-c"];
    for (const name of await readdir(join(xs, "sources")))
      if (name.endsWith(".c") && !ENGINE_WITHOUT.has(name))
        jobs.push([...common, "-w", ...engineFolders(xs, "-I"), join(xs, "sources", name)]);
    for (const name of await readdir(host))
      if (name.endsWith(".c"))
        jobs.push([
          ...common,
          ...["-std=gnu11", "-Wall", "-Wextra", "-Werror"],
          ...engineFolders(xs, "-isystem"), // their headers are not held to our warnings
          join(host, name),
        ]);
    const objects = await compileAll(cc, jobs, work, onProgress);
    const program = join(work, "xs-board");
    await run(cc, [...width, ...objects, "-o", program, "-lm", "-lpthread"]);
    await putInPlace(program, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function engineFolders(xs: string, flag: string): string[] {
  return ["includes", "platforms", "sources"].flatMap((folder) =>
    flag === "-I" ? [`-I${join(xs, folder)}`] : [flag, join(xs, folder)],
  );
}

async function compileAll(cc: string, jobs: string[][], work: string, onProgress?: BuildProgress) {
  const objects: string[] = [];
  const waiting = [...jobs];
  const worker = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const object = join(work, `${basename(job.at(-1) ?? "", ".c")}.o`);
      await run(cc, [...job, "-o", object]);
      objects.push(object);
      onProgress?.(objects.length, jobs.length);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return objects;
}
