#!/usr/bin/env -S node --single-threaded-gc
// SPDX-License-Identifier: MIT
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
