// SPDX-License-Identifier: MIT
/**
 * Bundles the programs that run on Node, with the packages they use: `npm install` does it by itself. The command line is
 * one script in which a command's part runs when it is needed; host-tools/bin/coffer.js keeps what was compiled of it.
 *
 *   node build.mjs              builds
 *   node build.mjs --if-stale   builds only when a source is newer than what was built
 */

import { execFileSync } from "node:child_process";
import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const outputFolder = join(root, "host-tools", "dist");
const stampPath = join(outputFolder, ".built");

const program = join(root, "host-tools", "bin", "coffer.js");
/** Started by the URLs of their files. */
const workers = {
  "chunk-opener-worker": "host-tools/repository/chunk-opener-worker.ts",
  "pack-sealer-worker": "host-tools/repository/pack-sealer-worker.ts",
  "write-behind-worker": "firmware/platform/node/write-behind-worker.ts",
};

/** Where sources lie; the newest of them decides whether the bundle is stale. */
const sourceFolders = ["host-tools", "relay", "test-sim", "firmware"];
const sourceFiles = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json"];

async function newestMtimeMs(folder) {
  let newest = 0;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name === "node_modules" || entry.name === "dist" || entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) newest = Math.max(newest, await newestMtimeMs(path));
    else if (/\.(ts|mjs|js|json)$/.test(entry.name) && !entry.name.endsWith(".test.ts"))
      newest = Math.max(newest, (await stat(path)).mtimeMs);
  }
  return newest;
}

async function isStale() {
  const built = await stat(stampPath).catch(() => undefined);
  if (built === undefined) return true;
  const folders = await Promise.all(sourceFolders.map((folder) => newestMtimeMs(join(root, folder))));
  const files = await Promise.all(sourceFiles.map(async (file) => (await stat(join(root, file))).mtimeMs));
  return Math.max(...folders, ...files) >= built.mtimeMs;
}

/**
 * What the command line's packages ask for the width of a text. The real one makes a segmenter and a pattern of all emoji
 * when it is loaded, which takes a third of the time that `coffer --help` has, and nearly all texts are ASCII.
 */
const lazyStringWidth = {
  name: "lazy-string-width",
  setup(bundler) {
    bundler.onResolve({ filter: /^string-width$/ }, async ({ resolveDir, kind, pluginData }) => {
      if (kind !== "import-statement" || pluginData === "real") return undefined;
      const real = await bundler.resolve("string-width", { resolveDir, kind, pluginData: "real" });
      return { path: real.path, namespace: "lazy-string-width" };
    });
    bundler.onLoad({ filter: /.*/, namespace: "lazy-string-width" }, ({ path }) => ({
      contents: `
        const isPlain = /^[ -~]*$/;
        const width = (text, options) =>
          isPlain.test(text) ? text.length : require(${JSON.stringify(path)}).default(text, options);
        export default width;`,
      resolveDir: dirname(path),
    }));
  },
};

/** Whole at any time, for programs that start meanwhile. */
async function replace(path, contents) {
  await writeFile(`${path}.new`, contents);
  await rename(`${path}.new`, path);
}

async function bundle(options) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    outdir: outputFolder,
    bundle: true,
    platform: "node",
    target: "node20",
    // These look for a program beside themselves.
    external: ["@node-rs/argon2", "@napi-rs/keyring", "esbuild"],
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: true,
    legalComments: "none",
    logLevel: "warning",
    write: false,
    ...options,
  });
  return outputFiles;
}

/** Compiled code of a former bundle is gone. That of `coffer --help` is made at once, the others when a command first runs. */
async function compile() {
  const [, flags = ""] = /^#!.* node (.*)$/m.exec(await readFile(program, "utf8")) ?? [];
  execFileSync(process.execPath, [...flags.split(" "), program, "--help"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

const startedAt = new Date();
if (!process.argv.includes("--if-stale") || (await isStale())) {
  const outputFiles = await Promise.all([
    bundle({
      entryPoints: { cli: "host-tools/cli.ts" },
      // Neither a module of CommonJS nor of ECMAScript: a script whose value is a function, which the program calls.
      format: "cjs",
      banner: { js: "(function (require, module, exports, bundleUrl) {" },
      footer: { js: "})" },
      define: { "import.meta.url": "bundleUrl" },
      supported: { "dynamic-import": false },
      plugins: [lazyStringWidth],
    }),
    bundle({
      entryPoints: workers,
      // A thread starts a quarter faster without the loader of modules of ECMAScript.
      format: "cjs",
      outExtension: { ".js": ".cjs" },
      banner: { js: 'const workerUrl = require("node:url").pathToFileURL(__filename).href;' },
      define: { "import.meta.url": "workerUrl" },
    }),
  ]);
  await mkdir(outputFolder, { recursive: true });
  const written = outputFiles.flat();
  for (const { path, contents } of written) await replace(path, contents);
  const names = new Set([stampPath, ...written.map(({ path }) => path)].map((path) => basename(path)));
  for (const name of await readdir(outputFolder))
    if (!names.has(name)) await rm(join(outputFolder, name), { recursive: true });
  await compile();
  await writeFile(stampPath, "");
  // The time of the start: a source that changed during the build is newer than what was built.
  await utimes(stampPath, startedAt, startedAt);
}
