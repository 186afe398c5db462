// SPDX-License-Identifier: MIT
/** More than two computers that push to one device at once, which is in ../scenarios. */
import { deepEqual, equal } from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import type { Finished } from "./coffer-process";
import { makeSampleTree } from "./sample-tree";
import { type DeviceName, World } from "./world";

const statusAndErrors = ({ status, stderr }: Finished): [number, string] => [status, stderr];

describe("several clients and several devices", function () {
  this.timeout(60_000);
  let world: World;

  before(async () => {
    world = await World.create();
    await world.startRelay();
    await Promise.all([world.startNode("cam1"), world.startNode("cam2")]);
  });
  after(() => world.close());

  const on = (...names: DeviceName[]): string[] => ["--device", ...names];

  it("lets two commands of one computer run at once", async () => {
    await Promise.all(
      ["c", "d"].map((name, seed) =>
        makeSampleTree(world.path(name), { seed: 10 + seed, largeBytes: 4_000_000 }),
      ),
    );
    const pushes = await Promise.all(
      ["c", "d"].map((name) => world.coffer(["push", world.path(name), ...on("cam1")])),
    );
    deepEqual(pushes.map(statusAndErrors), [
      [0, ""],
      [0, ""],
    ]);
    for (const name of ["c", "d"]) {
      await world.succeed(["pull", name, "--to", world.path(`${name}-back`), ...on("cam1")]);
      deepEqual((await compareTrees(world.path(name), world.path(`${name}-back`))).differences, []);
    }
  });

  it("keeps everything when two computers change different things by turns", async () => {
    const other = await world.secondComputer("third-home");
    for (const [index, home] of [world.home, other, world.home, other].entries())
      await world.succeed(["mkdir", `turn-${String(index)}`, ...on("cam1")], { home });
    for (const home of [world.home, other]) {
      const names = (await world.succeed(["ls", ...on("cam1")], { home })).split("\n");
      deepEqual(
        names.filter((name) => /^turn/.test(name)),
        ["turn-0", "turn-1", "turn-2", "turn-3"],
      );
    }
  });

  it("stores on two devices at once, and each of them alone has everything for the passphrase alone", async () => {
    await mkdir(world.path("both"));
    await makeSampleTree(world.path("both", "inner"), { seed: 3, largeBytes: 2_000_000 });
    await world.succeed(["push", world.path("both"), ...on("cam1", "cam2")]);
    for (const name of ["cam1", "cam2"] as const) {
      const home = await world.secondComputer(`fresh-${name}`);
      const to = world.path(`both-from-${name}`);
      await world.succeed(["pull", "both", "--to", to, ...on(name)], { home });
      deepEqual((await compareTrees(world.path("both"), to)).differences, []);
    }
  });

  it("refuses to guess when several devices are paired", async () => {
    const { status, stderr } = await world.coffer(["ls"]);
    equal(status, 2);
    equal(/cam1, cam2/.test(stderr) && /--device/.test(stderr), true);
    await world.succeed(["ls"], { environment: { COFFER_DEVICE: "cam2" } });
  });

  it("says which device is missing, and stores nothing half", async () => {
    await writeFile(world.path("late"), "late");
    const offline = await World.create();
    try {
      await offline.startRelay();
      await offline.startNode("cam1");
      const { status, stderr } = await offline.coffer(["push", world.path("late"), ...on("cam1", "cam2")]);
      equal(status, 21);
      equal(stderr.includes("cam2"), true);
      equal(await offline.succeed(["ls", ...on("cam1")]), "");
    } finally {
      await offline.close();
    }
  });
});
