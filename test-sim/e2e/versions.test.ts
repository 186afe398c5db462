// SPDX-License-Identifier: MIT
import { deepEqual, equal, match } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import { makeSampleTree } from "./sample-tree";
import { World } from "./world";

interface LoggedVersion {
  id: string;
  shortId: string;
  changes: { change: string; path: string }[];
  tags: string[];
}

interface Changed {
  path: string;
  change: string;
  summary?: { added: number };
}

describe("versions, from the command line", function () {
  this.timeout(120_000);
  let world: World;
  let tree: string;
  const cam1 = ["--device", "cam1"];

  before(async () => {
    world = await World.create();
    tree = world.path("sample");
    await makeSampleTree(tree, { seed: 11, largeBytes: 500_000, smallFiles: 5 });
    await world.startRelay();
    await world.startNode("cam1");
  });
  after(() => world.close());

  const log = (...words: string[]): Promise<LoggedVersion[]> =>
    world.json<LoggedVersion>(["log", ...words, ...cam1]);

  it("log shows each change, and an older version comes back as it was", async () => {
    await world.succeed(["push", tree, ...cam1]);
    await world.succeed(["pull", "sample", "--to", world.path("first"), ...cam1]);
    await writeFile(world.path("sample", "one"), "changed");
    await writeFile(world.path("sample", "more"), "added");
    await world.succeed(["push", tree, ...cam1]);
    await world.succeed(["rm", "sample/zero", ...cam1]);
    const versions = await log();
    deepEqual(
      versions.map(({ changes }) => changes.map(({ change, path }) => `${change} ${path}`).join()),
      ["remove /sample/zero", "put /sample", "put /sample"],
    );
    match(await world.succeed(["log", ...cam1]), /^VERSION +TIME.*\n[0-9a-f]{8} .* removed \/sample\/zero$/m);
    equal((await log("sample/zero")).length, 2);
    equal((await log("--limit", "1")).length, 1);
    const first = versions[2]?.shortId ?? "";
    await world.succeed(["pull", "sample", "--at", first, "--to", world.path("back"), ...cam1]);
    deepEqual((await compareTrees(world.path("first"), world.path("back"))).differences, []);
    match(await world.succeed(["ls", "--at", first, "sample", ...cam1]), /^zero$/m);
    match(await world.succeed(["stat", "--at", first, "sample/one", ...cam1]), /\(1 byte\)/);
  });

  it("diff tells what differs", async () => {
    const first = (await log())[2]?.shortId ?? "";
    const found = await world.json<Changed>(["diff", first, ...cam1]);
    deepEqual(
      found.slice(0, -1).map(({ change, path }) => `${change} ${path}`),
      ["added /sample/more", "modified /sample/one", "removed /sample/zero"],
    );
    equal(found.at(-1)?.summary?.added, 1);
    const text = await world.succeed(["diff", first, "latest", "sample/one", ...cam1]);
    match(text, /^M {2}\/sample\/one {2}\(1 B -> 7 B\)\n1 modified; 7 B came, 1 B went\n$/);
  });

  it("tag gives names, and restore puts back without sending files", async () => {
    const first = (await log())[2]?.shortId ?? "";
    await world.succeed(["tag", "start", first, ...cam1]);
    equal(await world.succeed(["tag", ...cam1]), `start  ${first}\n`);
    await world.succeed(["restore", "sample", "--at", "start", ...cam1]);
    await world.succeed(["pull", "sample", "--to", world.path("restored"), ...cam1]);
    deepEqual((await compareTrees(world.path("first"), world.path("restored"))).differences, []);
    equal(await world.succeed(["diff", "start", ...cam1]), "no difference\n");
    deepEqual((await log())[3]?.tags, ["start"]);
  });

  it("forget obeys a policy, and what is forgotten has no name any more", async () => {
    const ids = (await log()).map(({ shortId }) => shortId);
    const keep = ["forget", "--keep-last", "1"];
    const text = await world.succeed([...keep, "--dry-run", ...cam1]);
    match(text, new RegExp(`^keep +${ids[0] ?? ""} .*last, current on`, "m"));
    match(text, new RegExp(`^keep +${ids[3] ?? ""} .*tag start$`, "m"));
    match(text, new RegExp(`^forget +${ids[1] ?? ""} `, "m"));
    equal((await log()).length, 4);
    const { status, stderr } = await world.coffer([...keep, ...cam1]);
    equal(status, 0);
    match(stderr, /2 versions forgotten\. That frees no room by itself: run `coffer prune`/);
    deepEqual(
      (await log()).map(({ shortId }) => shortId),
      [ids[0], ids[3]],
    );
    const forgotten = await world.coffer(["ls", "--at", ids[1] ?? "", ...cam1]);
    equal(forgotten.status, 55);
    match(forgotten.stderr, /was forgotten/);
    equal((await world.coffer(["forget", "start", ...cam1])).status, 56);
    equal((await world.coffer(["forget", ...cam1])).status, 2);
    equal((await world.coffer(["forget", "--keep-daily", "0", ...cam1])).status, 2);
  });

  it("all of it works in the shell, too", async () => {
    const script = [
      "cd sample",
      "ls --at start one",
      "tag shell-tag 'today'",
      "log --limit 1 .",
      "rm one",
      "restore one --at shell-tag",
      `get --at start one '${world.path("from-shell")}'`,
      "diff start latest",
      "tag --remove shell-tag",
      "forget --keep-tag any --keep-last 2 --dry-run",
    ].join("\n");
    const text = await world.succeed(["shell", ...cam1], { input: script });
    match(text, /^one$/m);
    match(text, /^no difference$/m);
    match(text, /^\/sample\/one is as in version [0-9a-f]{8}$/m);
    const { differences } = await compareTrees(world.path("first", "one"), world.path("from-shell"));
    deepEqual(differences, []);
  });
});
