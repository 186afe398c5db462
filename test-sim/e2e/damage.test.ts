// SPDX-License-Identifier: MIT
import { deepEqual, equal, match } from "node:assert/strict";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import { SeededRandom } from "../seeded-random";
import { blobFiles, flipBit } from "./card-folder";
import { World } from "./world";

interface Finding {
  kind: string;
  path?: string;
  damage?: string;
  state?: string;
}

describe("a card that decays", function () {
  this.timeout(60_000);
  const cam1 = ["--device", "cam1"];
  let world: World;
  let tree: string;

  before(async () => {
    world = await World.create();
    await world.startRelay();
    await world.startNode("cam1");
    tree = world.path("album");
    await mkdir(tree);
    const random = new SeededRandom(5);
    for (const name of ["one", "two", "three"]) {
      const bytes = new Uint8Array(3_000_000);
      random.fill(bytes);
      await writeFile(join(tree, name), bytes);
    }
    await world.succeed(["push", tree, ...cam1]);
  });
  after(() => world.close());

  it("is verified whole, and by every byte", async () => {
    match(
      await world.succeed(["verify", ...cam1]),
      /^cam1: \d+ packs.*\nwhole: 1 version, .*file data was not read/,
    );
    match(await world.succeed(["verify", "--read-data=1%", ...cam1]), /read 1 of them/);
    const [device] = await world.json<{ packs: number; readPacks: number }>([
      "verify",
      "--read-data",
      ...cam1,
    ]);
    equal(device?.readPacks, device?.packs);
    equal((await world.coffer(["verify", "--read-data=0", ...cam1])).status, 2);
  });

  it("has a flipped bit found with the file, and repaired from the local file", async () => {
    const [largest] = await blobFiles(world.path("card-cam1"));
    await flipBit(largest?.path ?? "", 4096 + 5000);
    const found = await world.coffer(["verify", "--read-data", "--json", ...cam1]);
    equal(found.status, 45, found.stderr);
    const findings = found.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Finding);
    deepEqual(
      findings.filter(({ kind }) => kind === "pack").map(({ damage }) => damage),
      ["damaged"],
    );
    const files = findings.filter(({ kind }) => kind === "file");
    equal(files.length, 1);
    const { path = "", state } = files[0] ?? {};
    match(path, /^\/album\/(one|two|three)$/);
    equal(state, "lost");
    const damaged = world.path(path.slice(1));

    const hopeless = await world.coffer(["repair", "--dry-run", ...cam1]);
    equal(hopeless.status, 45);
    match(hopeless.stdout, /1 chunk lost/);
    match(await world.succeed(["repair", damaged, ...cam1]), /1 chunk made again from local files/);
    match(await world.succeed(["verify", "--read-data", ...cam1]), /^whole: /m);
    await world.succeed(["pull", "album", "--to", world.path("back"), ...cam1]);
    deepEqual((await compareTrees(tree, world.path("back"))).differences, []);
  });

  it("has a lost blob found without reading, and a newcomer told of it", async () => {
    // The largest may be the damaged one, which was given up.
    for (const { path } of (await blobFiles(world.path("card-cam1"))).slice(0, 2)) await rm(path);
    const home = await world.secondComputer("newcomer");
    const found = await world.coffer(["verify", ...cam1], { home });
    equal(found.status, 45, found.stderr);
    match(found.stdout, /pack [0-9a-f]{16} is missing/);
    match(found.stderr, /coffer: hint: .*coffer repair/);
    const script = `repair '${tree}'\nverify --read-data\n`;
    match(await world.succeed(["shell", ...cam1], { input: script, home }), /made again from local files/);
  });
});
