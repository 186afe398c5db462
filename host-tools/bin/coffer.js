#!/usr/bin/env -S MALLOC_TRIM_THRESHOLD_=33554432 MALLOC_MMAP_THRESHOLD_=33554432 node --single-threaded-gc --expose-gc --max-semi-space-size=4 --heap-growing-percent=50
// SPDX-License-Identifier: MIT
// The flags keep memory small: what V8 allocates first goes through 8 MiB, its heap grows by half before it is collected
// (and not to four times its size), and ciphers' garbage is collected on request.
// The variables, which glibc's malloc knows, keep what was freed for the next buffer: giving it back to the system and
// touching it anew took 6 % of a push.
import { existsSync } from "node:fs";

const bundle = new URL("../dist/cli.js", import.meta.url);
if (existsSync(bundle)) {
  const { run } = await import(bundle.href);
  await run();
} else {
  process.stderr.write("coffer: error: Coffer is not built yet\n");
  process.stderr.write("coffer: hint: Run `npm install` in the Coffer folder.\n");
  process.exitCode = 1;
}
