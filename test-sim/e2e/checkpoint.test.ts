// SPDX-License-Identifier: MIT
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { World } from "./world";

/** More than make a checkpoint worth while. */
const CHANGES = 520;

describe("a long history, from the command line", function () {
  this.timeout(240_000);
  let world: World;
  const cam1 = ["--device", "cam1"];
  const cam2 = ["--device", "cam2"];

  before(async () => {
    world = await World.create();
    await world.startRelay();
    await world.startNode("cam1");
  });
  after(() => world.close());

  /** Names of the files of logs: the log's id and the number of the segment. */
  async function segmentsOn(card: string): Promise<string[]> {
    const found = await readdir(world.path(card), { recursive: true });
    return found.flatMap((path) => /logs\/(.+-[0-9a-f]{8})$/.exec(path)?.[1] ?? []).sort();
  }

  it("is cut by a checkpoint on the device, and a new computer reads it from there", async () => {
    const lines = Array.from({ length: CHANGES }, (_, i) => `mkdir /folder-${String(i)}`);
    await world.succeed(["shell", ...cam1], { input: `${lines.join("\n")}\n` });
    const segments = await segmentsOn("card-cam1");
    // The key log and the log of checkpoints are whole, the writer's log begins later.
    equal(segments.filter((name) => name.endsWith("-00000000")).length, 2, segments.join(" "));
    ok(segments.some((name) => !name.endsWith("-00000000")));
    const home = await world.secondComputer("second");
    const listed = await world.succeed(["ls", ...cam1], { home });
    equal(listed.trim().split("\n").length, CHANGES);
    match(await world.succeed(["verify", ...cam1], { home }), /whole|no damage/i);
    const [first, second] = [
      await world.json(["log", ...cam1]),
      await world.json(["log", ...cam1], { home }),
    ];
    equal(first.length, CHANGES);
    deepEqual(second, first);
  });

  it("goes on from there on a board that was empty", async () => {
    await world.startBoard("cam2");
    const home = world.path("second");
    await world.succeed(["mkdir", "/on-both", ...cam1, ...cam2], { home });
    const third = await world.secondComputer("third");
    const listed = await world.succeed(["ls", ...cam2], { home: third });
    equal(listed.trim().split("\n").length, CHANGES + 1);
    equal((await world.json(["log", ...cam2], { home: third })).length, CHANGES + 1);
    await world.succeed(["rm", "--recursive", "/folder-0", ...cam1, ...cam2]);
    equal((await world.json(["log", ...cam2], { home: third })).length, CHANGES + 2);
  });
});
