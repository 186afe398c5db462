#!/usr/bin/env -S NODE_EXTRA_CA_CERTS=${COFFER_CA} SSL_CERT_FILE=/dev/null MALLOC_TRIM_THRESHOLD_=33554432 MALLOC_MMAP_THRESHOLD_=33554432 node --use-openssl-ca --single-threaded-gc --expose-gc --max-semi-space-size=4 --heap-growing-percent=50
// SPDX-License-Identifier: MIT
// The flags keep memory small: what V8 allocates first goes through 8 MiB, its heap grows by half before it is collected
// (and not to four times its size), and ciphers' garbage is collected on request.
// The variables, which glibc's malloc knows, keep what was freed for the next buffer: giving it back to the system and
// touching it anew took 6 % of a push.
// Coffer trusts only its own authorities. Node reads those of NODE_EXTRA_CA_CERTS at its start, and 140 of its own, or of
// SSL_CERT_FILE, with the first connection, even if none is asked for: 80 and 45 ms, a fifth of a short command. (COFFER_CA
// stands for nothing in a form that npm on Windows understands, too.)
"use strict";

const { createHash } = require("node:crypto");
const { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");
const { cachedDataVersionTag, setFlagsFromString } = require("node:v8");
const { Script } = require("node:vm");

const bundle = join(__dirname, "..", "dist", "cli.js");
const cacheFolder = join(__dirname, "..", "dist", "code-cache");
const CHECKSUM_BYTES = 32;

/**
 * Where the code is kept that V8 compiled for a command, so that it need not do so again: a fifth of what a short command
 * takes. It fits one bundle, one version of V8 and one set of flags.
 */
function cachePath(bundleMtimeMs) {
  const [command = ""] = process.argv.slice(2);
  const isHelp = !/^[a-z]+$/.test(command) || process.argv.includes("--help") || process.argv.includes("-h");
  return join(cacheFolder, `${isHelp ? "help" : command}-${bundleMtimeMs}-${cachedDataVersionTag()}`);
}

/** V8 believes what it is given: what was damaged must not get there. */
function checksum(code) {
  return createHash("sha256").update(code).digest();
}

function readCode(path) {
  try {
    const file = readFileSync(path);
    const code = file.subarray(CHECKSUM_BYTES);
    return checksum(code).equals(file.subarray(0, CHECKSUM_BYTES)) ? code : undefined;
  } catch {
    return undefined;
  }
}

/** At the end of a command that succeeded. A folder that is not ours to write to is as good. */
function keepCode(script, path) {
  try {
    mkdirSync(cacheFolder, { recursive: true });
    const code = script.createCachedData();
    writeFileSync(`${path}.${process.pid}`, Buffer.concat([checksum(code), code]));
    renameSync(`${path}.${process.pid}`, path);
  } catch {
    // The next command compiles anew.
  }
}

function load() {
  const stats = statSync(bundle, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  const path = cachePath(stats.mtimeMs);
  const cachedData = readCode(path);
  const { href } = pathToFileURL(bundle);
  const script = new Script(readFileSync(bundle, "latin1"), { filename: href, cachedData });
  if (cachedData === undefined || script.cachedDataRejected)
    process.once("exit", (status) => {
      if (status === 0) keepCode(script, path);
    });
  const module = { exports: {} };
  script.runInThisContext()(createRequire(bundle), module, module.exports, href);
  return module.exports;
}

// In a long command V8 would drop the code that only its start needed, and what is kept for the next one would lack it.
setFlagsFromString("--no-flush-bytecode");
const program = load();
if (program) program.run();
else {
  process.stderr.write("coffer: error: Coffer is not built yet\n");
  process.stderr.write("coffer: hint: Run `npm install` in the Coffer folder.\n");
  process.exitCode = 1;
}
