// SPDX-License-Identifier: MIT
/** The scenarios in Moddable's simulator, and a breakpoint, as a person would set it, in a source of the core. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { World } from "../e2e/world";
import { projectRoot } from "../project-root";
import { ModdableSimulatorHost, type SimulatorDevice } from "../scenarios/moddable-simulator";
import { describeScenarios } from "../scenarios/scenarios";
import { moddableSdk } from "./moddable-build";
import { VirtualDisplay, hasVirtualDisplay } from "./virtual-display";

const BUILD_MS = 600_000; // cold, beside other work
const title = "Moddable's simulator";
const sdk = moddableSdk();

if (sdk === undefined) describe(title, () => it("not run: no Moddable SDK"));
else if (!hasVirtualDisplay())
  describe(title, () => it("not run: no Xvfb, and the simulator wants a window"));
else
  describe(title, () => {
    let display: VirtualDisplay;

    before(async () => {
      display = await VirtualDisplay.start();
    });
    after(() => display.close());

    const host = (): ModdableSimulatorHost => new ModdableSimulatorHost(sdk, display);

    describeScenarios(title, host);

    it("stops at a breakpoint in a .ts file of the core, and goes on from there", async function () {
      this.timeout(BUILD_MS);
      const world = await World.create();
      let device: SimulatorDevice | undefined;
      try {
        await world.startRelay();
        device = await host().device({ world, name: "cam1", seed: 1 });
        await device.start();
        const path = join(projectRoot(), "firmware", "core", "verb-put.ts");
        const stopping = device.simulator?.xsbug.stopAt(path, lineOf(path, ".write("));
        await writeFile(world.path("a-file"), "a file");
        const push = world.coffer(["push", world.path("a-file"), "--device", "cam1"]);
        const stop = await stopping;
        assert.deepEqual([stop?.path, stop?.line], [path, lineOf(path, ".write(")]);
        assert.equal(stop?.frames[0], "PutRequest.prototype.receive");
        device.simulator?.xsbug.go();
        assert.equal((await push).status, 0);
      } finally {
        await device?.stop();
        await world.close();
      }
    });
  });

/** Counted from 1, as debuggers do. */
function lineOf(path: string, text: string): number {
  const lines = readFileSync(path, "utf8").split("\n");
  const found = lines.filter((line) => line.includes(text));
  assert.equal(found.length, 1, `${text} in ${path}`);
  return lines.indexOf(found[0] ?? "") + 1;
}
