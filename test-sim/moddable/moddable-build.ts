// SPDX-License-Identifier: MIT
/**
 * Builds the test program with the Moddable SDK that $MODDABLE names. mcconfig runs the TypeScript compiler once for every
 * file, which takes minutes: here the types are checked in one go, and mcconfig gets a copy of the sources as JavaScript.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { transform } from "esbuild";

import { withLineRemarks } from "../firmware-bundle";
import { projectRoot } from "../project-root";

const run = promisify(execFile);
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** What the test's manifest names, below the project. */
const FOLDERS = [
  "firmware/protocol",
  "firmware/core",
  "firmware/platform/moddable",
  "firmware/platform/moddable/lin",
  "firmware/platform/moddable/posix",
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
/** The SDK's folder: $MODDABLE, else where xs-dev puts it; undefined when there is none with its tools built. */
export function moddableSdk(): string | undefined {
  const named = process.env.MODDABLE ?? "";
  const candidates = named === "" ? [join(homedir(), ".local", "share", "moddable")] : [named];
  return candidates.find((folder) => existsSync(join(toolsOf(folder), "mcconfig")));
}

export function toolsOf(sdk: string): string {
  return join(sdk, "build", "bin", "lin", "release");
}

/** For the SDK's tools. */
export function moddableEnvironment(sdk: string): NodeJS.ProcessEnv {
  return { ...process.env, MODDABLE: sdk, PATH: `${toolsOf(sdk)}:${process.env.PATH ?? ""}` };
}

/**
 * A folder of this SDK's below test-sim/.cache; of its own for each of mocha's workers, since two builds at once in one folder
 * spoil each other.
 */
export function cacheOf(sdk: string): string {
  const key = createHash("sha256").update(sdk).digest("hex").slice(0, 12);
  const { MOCHA_WORKER_ID: worker } = process.env;
  const name = worker === undefined ? `moddable-${key}` : `moddable-${key}-${worker}`;
  return join(projectRoot(), "test-sim", ".cache", name);
}

export interface ModdableBuild {
  /** The test program. */
  program: string;
  /** What the SDK's tools made of the sources, mc.xs.h among it. */
  generated: string;
  /** Makes an empty folder for one run. */
  newFolder(name: string): Promise<string>;
}

export async function buildModdable(sdk: string): Promise<ModdableBuild> {
  const cache = cacheOf(sdk);
  const sources = join(cache, "sources");
  const out = join(cache, "out");
  await mkdir(out, { recursive: true });
  await copySources(sources, FOLDERS, FILES);
  const manifest = join(sources, "test-sim", "moddable", "manifest.json");
  await run("mcconfig", ["-m", "-p", "x-cli-lin", "-t", "build", "-o", out, manifest], {
    env: moddableEnvironment(sdk),
    maxBuffer: MAX_OUTPUT_BYTES,
  }).catch((error: unknown) => {
    throw new Error(`mcconfig failed:\n${outputOf(error)}`);
  });
  return {
    program: join(out, "bin", "lin", "release", "moddable"),
    generated: join(out, "tmp", "lin", "release", "moddable"),
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
  const checked = [
    ...FOLDERS,
    "firmware/platform/moddable/esp32",
    "firmware/platform/moddable/mac",
    "firmware/platform/moddable/win",
  ];
  const typings = [
    "xs/includes/xs",
    ...[
      "global",
      "crypt",
      "timer",
      "time",
      "sntp",
      "net",
      "preference",
      "Resource",
      "mc/config",
      "embedded_io/socket/tcp",
      "embedded_io/socket/udp",
      "embedded_network/dnssd",
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

/**
 * TypeScript as JavaScript. Untouched when nothing changed, so that make has nothing to do. `namesLines`: each line of it says
 * which of the .ts file it is, for a debugger.
 */
export async function copySources(
  target: string,
  folders: readonly string[],
  files: readonly string[],
  { namesLines = false }: { namesLines?: boolean } = {},
): Promise<void> {
  const root = projectRoot();
  const names = [...files];
  for (const folder of folders)
    for (const name of await readdir(join(root, folder))) names.push(`${folder}/${name}`);
  const wanted = new Set<string>();
  for (const name of names) {
    if (statSync(join(root, name)).isDirectory()) continue;
    const source = await readFile(join(root, name), "utf8");
    const isScript = name.endsWith(".ts") && !name.endsWith(".d.ts");
    const path = join(target, isScript ? `${name.slice(0, -3)}.js` : name);
    wanted.add(relative(target, path));
    const text = !isScript ? source : await scriptOf(source, namesLines ? join(root, name) : undefined);
    if (existsSync(path) && (await readFile(path, "utf8")) === text) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !wanted.has(relative(target, path))) await rm(path);
  }
}

/** `path`: the file that its lines are to name. */
async function scriptOf(source: string, path?: string): Promise<string> {
  const { code, map } = await transform(source, {
    loader: "ts",
    target: "es2022",
    ...(path === undefined
      ? {}
      : { sourcemap: "external", sourcefile: path, supported: { "template-literal": false } }),
  });
  if (path === undefined) return code;
  const { mappings } = JSON.parse(map) as { mappings: string };
  return withLineRemarks(code, mappings, [path]);
}

/** What a program prints when it fails; empty when it does not. */
export async function quiet(
  program: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<string> {
  try {
    await run(program, args, { maxBuffer: MAX_OUTPUT_BYTES, ...(env === undefined ? {} : { env }) });
    return "";
  } catch (error) {
    return outputOf(error);
  }
}

export function outputOf(error: unknown): string {
  const {
    stdout = "",
    stderr = "",
    message,
  } = error as { stdout?: string; stderr?: string; message: string };
  return stdout + stderr === "" ? message : (stdout + stderr).slice(-4000);
}
