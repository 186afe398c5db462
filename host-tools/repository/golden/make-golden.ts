// SPDX-License-Identifier: MIT
/**
 * Writes golden repositories: `npx tsx host-tools/repository/golden/make-golden.ts`, after `node build.mjs`. To be run by hand
 * and only when a scenario was added: what is there stays, because a fixture that is written again by the code that it
 * has to hold to its word proves nothing.
 */

import { Scratch } from "../testing/scratch";
import { hasFixture, saveFixture } from "./fixture";
import { scenarios } from "./scenarios";

for (const [name, write] of Object.entries(scenarios)) {
  if (hasFixture(name)) continue;
  const scratch = new Scratch();
  try {
    const { from, ...story } = await write(scratch);
    saveFixture(name, story, from);
    process.stdout.write(`${name}: written\n`);
  } finally {
    await scratch.remove();
  }
}
