// SPDX-License-Identifier: MIT
/** Where the project is. Sought upwards from this module, because a bundle of it may lie in another folder. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const LANDMARK = join("test-sim", "host", "xs-board-main.c");

let found: string | undefined;

/** The folder that has `firmware/` and `test-sim/`. */
export function projectRoot(): string {
  if (found !== undefined) return found;
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, LANDMARK))) return (found = folder);
    if (dirname(folder) === folder)
      throw new Error(
        `the simulator's sources were not found above ${start}: run it from a checkout of Coffer`,
      );
  }
}
