// SPDX-License-Identifier: MIT
/**
 * Builds the test program with the Moddable SDK that $MODDABLE names. mcconfig runs the TypeScript compiler once for every
 * file, which takes minutes: here the types are checked in one go, and mcconfig gets a copy of the sources as JavaScript.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { transform } from "esbuild";

import { projectRoot } from "../project-root";

const run = promisify(execFile);
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** What the test's manifest names, below the project. */
const FOLDERS = [
  "firmware/protocol",
  "firmware/core",
  "firmware/platform/moddable",
  "firmware/platform/moddable/lin",
  "test-sim/moddable/program",
];
const FILES = [
  "test-sim/protocol/protocol-checks.ts",
  "test-sim/protocol/protocol-vectors.ts",
  "test-sim/conformance/case.ts",
  "test-sim/conformance/crypto-cases.ts",
  "test-sim/conformance/network-cases.ts",
  "test-sim/conformance/storage-cases.ts",
  "test-sim/conformance/system-cases.ts",
  "test-sim/moddable/manifest.json",
  "firmware/platform/moddable/typings/sdk.d.ts",
];
const C_FILES = [
  "firmware/platform/moddable/coffer-files.c",
  "firmware/platform/moddable/coffer-system.c",
  "firmware/platform/moddable/lin/coffer-tcp.c",
];

/** The SDK's folder, or undefined when there is none. */
export function moddableSdk(): string | undefined {
  const folder = process.env.MODDABLE ?? "";
  return folder !== "" && existsSync(folder) && statSync(folder).isDirectory() ? folder : undefined;
}

export interface ModdableBuild {
  /** The test program. */
  program: string;
  /** Makes an empty folder for one run. */
  newFolder(name: string): Promise<string>;
}

export async function buildModdable(sdk: string): Promise<ModdableBuild> {
  const key = createHash("sha256").update(sdk).digest("hex").slice(0, 12);
  const cache = join(projectRoot(), "test-sim", ".cache", `moddable-${key}`);
  const sources = join(cache, "sources");
  const out = join(cache, "out");
  await mkdir(out, { recursive: true });
  await copySources(sources);
  const path = `${join(sdk, "build", "bin", "lin", "release")}:${process.env.PATH ?? ""}`;
  const manifest = join(sources, "test-sim", "moddable", "manifest.json");
  await run("mcconfig", ["-m", "-p", "x-cli-lin", "-t", "build", "-o", out, manifest], {
    env: { ...process.env, MODDABLE: sdk, PATH: path },
    maxBuffer: MAX_OUTPUT_BYTES,
  }).catch((error: unknown) => {
    throw new Error(`mcconfig failed:\n${outputOf(error)}`);
  });
  return {
    program: join(out, "bin", "lin", "release", "moddable"),
    async newFolder(name) {
      const folder = join(cache, "runs", name);
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
      return folder;
    },
  };
}

/** Everything that runs on Moddable, against the SDK's own typings. Returns what the compiler says, empty when all is well. */
export async function checkModdableTypes(sdk: string): Promise<string> {
  const root = projectRoot();
  const folder = join(root, "test-sim", ".cache", "moddable-types");
  await mkdir(folder, { recursive: true });
  // Also what the test program has no use for.
  const checked = [...FOLDERS, "firmware/platform/moddable/esp32"];
  const typings = [
    "xs/includes/xs",
    ...[
      "global",
      "crypt",
      "timer",
      "time",
      "sntp",
      "preference",
      "Resource",
      "mc/config",
      "embedded_io/socket/tcp",
      "embedded_network/interface/wifi",
    ].map((name) => `typings/${name}`),
  ];
  const config = {
    compilerOptions: {
      target: "es2024",
      lib: ["es2024"],
      module: "preserve",
      moduleResolution: "bundler",
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      noEmit: true,
      types: [
        ...typings.map((name) => join(sdk, `${name}.d.ts`)),
        join(root, "firmware/platform/moddable/typings/sdk.d.ts"),
      ],
    },
    include: checked.map((name) => join(root, name, "*.ts")),
  };
  const path = join(folder, "tsconfig.json");
  await writeFile(path, JSON.stringify(config));
  return quiet(join(root, "node_modules", ".bin", "tsc"), ["-p", path]);
}

/** Our C with every warning an error. After `buildModdable`, which makes the header of symbols. */
export async function checkModdableC(sdk: string, build: ModdableBuild): Promise<string> {
  const generated = join(
    dirname(dirname(dirname(dirname(build.program)))),
    "tmp",
    "lin",
    "release",
    "moddable",
  );
  const { stdout: glib } = await run("pkg-config", ["--cflags", "gio-2.0"]);
  // What is not ours is not judged: -isystem.
  const folders = [...["includes", "platforms", "sources"].map((name) => join(sdk, "xs", name)), generated];
  const system = [
    ...folders,
    ...glib
      .trim()
      .split(/\s+/)
      .map((flag) => flag.replace(/^-I/, "")),
  ];
  const includes = system.flatMap((folder) => (folder.startsWith("-") ? [folder] : ["-isystem", folder]));
  const defines = [
    "-DINCLUDE_XSPLATFORM=1",
    '-DXSPLATFORM="lin_xs.h"',
    "-DXS_ARCHIVE=1",
    "-DmxStringInfoCacheLength=4",
  ];
  const options = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"];
  const files = [...C_FILES, "test-sim/moddable/program/coffer-cli-host.c"].map((name) =>
    join(projectRoot(), name),
  );
  return quiet("cc", [...options, ...defines, ...includes, ...files]);
}

/** Untouched when nothing changed, so that make has nothing to do. */
async function copySources(target: string): Promise<void> {
  const root = projectRoot();
  const names = [...FILES];
  for (const folder of FOLDERS)
    for (const name of await readdir(join(root, folder))) names.push(`${folder}/${name}`);
  const wanted = new Set<string>();
  for (const name of names) {
    if (statSync(join(root, name)).isDirectory()) continue;
    const source = await readFile(join(root, name), "utf8");
    const isScript = name.endsWith(".ts") && !name.endsWith(".d.ts");
    const path = join(target, isScript ? `${name.slice(0, -3)}.js` : name);
    wanted.add(relative(target, path));
    const text = isScript ? (await transform(source, { loader: "ts", target: "es2022" })).code : source;
    if (existsSync(path) && (await readFile(path, "utf8")) === text) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !wanted.has(relative(target, path))) await rm(path);
  }
}

/** What a program prints when it fails; empty when it does not. */
async function quiet(program: string, args: readonly string[]): Promise<string> {
  try {
    await run(program, args, { maxBuffer: MAX_OUTPUT_BYTES });
    return "";
  } catch (error) {
    return outputOf(error);
  }
}

function outputOf(error: unknown): string {
  const {
    stdout = "",
    stderr = "",
    message,
  } = error as { stdout?: string; stderr?: string; message: string };
  return stdout + stderr === "" ? message : (stdout + stderr).slice(-4000);
}
