// SPDX-License-Identifier: MIT
import { deepEqual, equal, match } from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import { distinctiveName, makeSampleTree } from "./sample-tree";
import { World } from "./world";

interface ListedNode {
  path: string;
  name: string;
  type: string;
  sizeBytes: number;
  mode: string;
  target?: string;
  contentId: string;
}

interface Pushed {
  files: number;
  bytes: number;
  unchangedFiles: number;
  hashedBytes: number;
  storedBytes: number;
  sentBytes: number;
  isChanged: boolean;
}

for (const host of ["node", "board"] as const)
  describe(`push and pull through a relay, the firmware on ${host === "node" ? "Node" : "the XS board"}`, function () {
    this.timeout(120_000);
    let world: World;
    let tree: string;

    before(async () => {
      world = await World.create();
      tree = world.path("sample");
      await makeSampleTree(tree, { seed: 7, largeBytes: host === "node" ? 12_000_000 : 2_000_000 });
      await world.startRelay();
      if (host === "node") await world.startNode("cam1");
      else await world.startBoard("cam1");
    });
    after(() => world.close());

    const cam1 = ["--device", "cam1"];

    it("stores a folder with everything a file system can hold", async () => {
      const [pushed] = await world.json<Pushed>(["push", tree, ...cam1]);
      equal(pushed?.isChanged, true);
      equal(pushed.files, 50);
      equal(pushed.sentBytes >= pushed.storedBytes, true);
    });

    it("brings every byte, mode, time and link back", async () => {
      await world.succeed(["pull", "sample", "--to", world.path("back"), ...cam1]);
      const { files, differences } = await compareTrees(tree, world.path("back"));
      deepEqual(differences, []);
      equal(files, 50);
    });

    it("sends and hashes nothing when the same folder is pushed again", async () => {
      const [again] = await world.json<Pushed>(["push", tree, ...cam1]);
      equal(again?.isChanged, false);
      equal(again.storedBytes, 0);
      equal(again.hashedBytes, 0);
      equal(again.sentBytes, 0);
    });

    it("sends little when little has changed", async () => {
      await writeFile(world.path("sample", "one"), "another one");
      const [pushed] = await world.json<Pushed>(["push", tree, ...cam1]);
      equal(pushed?.isChanged, true);
      equal(pushed.hashedBytes, 11);
      equal(pushed.storedBytes < 65_536, true);
    });

    it("lists names exactly with --json and harmlessly without", async () => {
      const listed = await world.json<ListedNode>(["ls", "sample", ...cam1]);
      equal(
        listed.some(({ name }) => name === "evil\u001b[2Jname\n"),
        true,
      );
      const link = listed.find(({ type }) => type === "symlink");
      equal(link?.target, "../nowhere/at all");
      const input = "ls /sample\nls -l /sample\nls -l -R /sample\nstat /sample\n";
      const text = await world.succeed(["shell", ...cam1], { input });
      equal(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(text), false);
      match(await world.succeed(["ls", "-l", "sample", ...cam1]), /-rwxr-x--x {2} +11 B .* one$/m);
      match(await world.succeed(["ls", "-R", "sample", ...cam1]), /^\/sample\/Größe 大小\/deep\/deeper:$/m);
    });

    it("pulls a single file under its own name and into place", async () => {
      await world.succeed(["pull", `sample/${distinctiveName}`, "--to", world.path("single"), ...cam1]);
      const { differences } = await compareTrees(world.path("sample", distinctiveName), world.path("single"));
      deepEqual(differences, []);
    });

    it("makes, moves and removes without sending files again", async () => {
      await world.succeed(["mkdir", "-p", "a/b/c", ...cam1]);
      await world.succeed(["mv", "sample", "a/b/c", ...cam1]);
      await world.succeed(["mv", "a/b/c/sample", "moved", ...cam1]);
      await world.succeed(["pull", "moved", "--to", world.path("moved-back"), ...cam1]);
      deepEqual((await compareTrees(tree, world.path("moved-back"))).differences, []);
      await world.succeed(["rm", "moved/one", ...cam1]);
      await world.succeed(["rmdir", "a/b/c", ...cam1]);
      await world.succeed(["rm", "-r", "moved", "a", ...cam1]);
      equal(await world.succeed(["ls", ...cam1]), "");
    });

    it("works through a shell script just the same", async () => {
      const script = [
        "# a comment, then what a person would type",
        `lcd '${world.folder}'`,
        "mkdir -p 'my folder'/sub",
        "cd 'my folder'",
        "pwd",
        "put sample sub",
        `get sub/sample/${distinctiveName} "from shell"`,
        "mv sub ../renamed",
        "cd ..",
        "ls renamed/sample/Größe\\ 大小",
        "stat 'my folder'",
        "mkdir -- -odd",
        "rmdir -- -odd",
        "rm -r renamed 'my folder'",
        "df",
        "status",
      ].join("\n");
      const text = await world.succeed(["shell", ...cam1], { input: script });
      match(text, /^\/my folder$/m);
      match(text, /^deep$/m);
      equal(text.includes("coffer:"), false, "there is no prompt in a pipe");
      const { differences } = await compareTrees(
        world.path("sample", distinctiveName),
        world.path("from shell"),
      );
      deepEqual(differences, []);
    });

    it("goes on after a line that fails, and says so at the end", async () => {
      const script = "cd nowhere\nmkdir one\nls nowhere\nmkdir two\n";
      const ended = await world.coffer(["shell", ...cam1], { input: script });
      equal(ended.status, 50);
      match(ended.stderr, /line 1: .*nowhere/);
      match(ended.stderr, /2 lines failed, the first was line 1/);
      match(await world.succeed(["ls", ...cam1]), /one\ntwo/);
      const hasty = await world.coffer(["shell", "--fail-fast", ...cam1], {
        input: "rmdir one\nls nowhere\nrmdir two\n",
      });
      equal(hasty.status, 50);
      equal(await world.succeed(["ls", ...cam1]), "two\n");
    });

    it("tells the state of relay and device", async () => {
      const [relay, device] = await world.json<Record<string, unknown>>(["status", ...cam1]);
      equal(relay?.["kind"], "relay");
      equal(device?.["isOnline"], true);
      equal(device["card"], "ok");
      equal(Number(device["freeBytes"]) > 0, true, "the card's room, not the memory's");
      equal(device["host"], host === "node" ? "node" : "xs-board");
      match(await world.succeed(["df", ...cam1]), /DEVICE +CAPACITY/);
    });
  });
