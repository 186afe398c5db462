// SPDX-License-Identifier: MIT
/**
 * Bundles the programs that run on Node, with the packages they use: `npm install` does it by itself. What a command
 * needs only when it runs becomes a piece of its own, so that `coffer --help` loads next to nothing.
 *
 *   node build.mjs              builds
 *   node build.mjs --if-stale   builds only when a source is newer than what was built
 */

import { readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const outputFolder = join(root, "host-tools", "dist");
const stampPath = join(outputFolder, ".built");

/** Output name to source: the command line, and every worker that it starts by the URL of its file. */
const entryPoints = {
  cli: "host-tools/cli.ts",
  "pack-sealer-worker": "host-tools/repository/pack-sealer-worker.ts",
  "write-behind-worker": "firmware/platform/node/write-behind-worker.ts",
};

/** Where sources lie; the newest of them decides whether the bundle is stale. */
const sourceFolders = ["host-tools", "relay", "test-sim", "firmware"];
const sourceFiles = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json"];

const leftoverAgeMs = 3_600_000;

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

/** Pieces of former builds. A running program may still load them, so the recent ones stay. */
async function removeLeftovers(written) {
  for (const name of await readdir(outputFolder)) {
    const path = join(outputFolder, name);
    if (written.has(path) || path === stampPath) continue;
    if (Date.now() - (await stat(path)).mtimeMs > leftoverAgeMs)
      await rm(path, { recursive: true, force: true });
  }
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

const startedAt = new Date();
if (!process.argv.includes("--if-stale") || (await isStale())) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir: outputFolder,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    // One file loads in a fifth of the time of a package's forty. These three look for a program beside themselves.
    plugins: [lazyStringWidth],
    external: ["@node-rs/argon2", "@napi-rs/keyring", "esbuild"],
    banner: {
      js: 'import { createRequire as cofferRequire } from "node:module"; const require = cofferRequire(import.meta.url);',
    },
    sourcemap: true,
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
  });
  await removeLeftovers(new Set(Object.keys(metafile.outputs).map((path) => join(root, path))));
  await writeFile(stampPath, "");
  // The time of the start: a source that changed during the build is newer than what was built.
  await utimes(stampPath, startedAt, startedAt);
}
