// SPDX-License-Identifier: MIT
import { deepEqual, equal } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import { freePort } from "../../host-tools/demo/free-port";
import type { ExitStatusName } from "../../host-tools/exit-status";
import { makeSampleTree } from "./sample-tree";
import { requireRefused, requireRefusedJson } from "./refused";
import { World } from "./world";

describe("bad input gets one sentence, its own exit status, and loses nothing", function () {
  this.timeout(60_000);
  let world: World;
  const cam1 = ["--device", "cam1"];

  before(async () => {
    world = await World.create();
    await world.startRelay();
    await world.startNode("cam1");
    await makeSampleTree(world.path("sample"), { seed: 1, largeBytes: 1_000_000, smallFiles: 10 });
    await world.succeed(["push", world.path("sample"), ...cam1]);
    await world.succeed(["mkdir", "folder", ...cam1]);
  });
  after(async () => {
    try {
      // Whatever was refused above: everything is still there.
      await world.succeed(["pull", "sample", "--to", world.path("still-there"), ...cam1]);
      deepEqual((await compareTrees(world.path("sample"), world.path("still-there"))).differences, []);
    } finally {
      await world.close();
    }
  });

  interface Case {
    words: readonly string[] | (() => readonly string[]);
    kind: ExitStatusName;
    sentence: RegExp;
    environment?: NodeJS.ProcessEnv;
  }

  const cases: Readonly<Record<string, Case>> = {
    "a wrong passphrase": {
      words: ["ls", ...cam1],
      environment: { COFFER_PASSPHRASE: "wrong" },
      kind: "wrongPassphrase",
      sentence: /passphrase/,
    },
    "no passphrase and nobody to ask": {
      words: ["ls", ...cam1],
      environment: { COFFER_PASSPHRASE: "" },
      kind: "noPassphrase",
      sentence: /passphrase/,
    },
    "a passphrase file that is not there": {
      words: ["ls", ...cam1, "--passphrase-file", "/nowhere/at/all"],
      kind: "localPathNotFound",
      sentence: /passphrase file/,
    },
    "a device that nobody knows": {
      words: ["ls", "--device", "nobody"],
      kind: "unknownDevice",
      sentence: /nobody/,
    },
    "a device that is offline": {
      words: ["ls", "--device", "cam2"],
      kind: "deviceOffline",
      sentence: /cam2/,
    },
    "a local path that does not exist": {
      words: () => ["push", world.path("nowhere"), ...cam1],
      kind: "localPathNotFound",
      sentence: /nowhere/,
    },
    "a remote path that does not exist": {
      words: () => ["pull", "sample/nowhere", "--to", world.path("x"), ...cam1],
      kind: "pathNotFound",
      sentence: /nowhere/,
    },
    "a listing of a path that does not exist": {
      words: ["ls", "nowhere", ...cam1],
      kind: "pathNotFound",
      sentence: /nowhere/,
    },
    "stat of a path that does not exist": {
      words: ["stat", "nowhere", ...cam1],
      kind: "pathNotFound",
      sentence: /nowhere/,
    },
    "removing what is not there": {
      words: ["rm", "nowhere", ...cam1],
      kind: "pathNotFound",
      sentence: /nowhere/,
    },
    "moving what is not there": {
      words: ["mv", "nowhere", "x", ...cam1],
      kind: "pathNotFound",
      sentence: /nowhere/,
    },
    "a folder whose parent is missing": {
      words: ["mkdir", "no/such/parent", ...cam1],
      kind: "pathNotFound",
      sentence: /no/,
    },
    "a folder that is there": {
      words: ["mkdir", "folder", ...cam1],
      kind: "nameCollision",
      sentence: /folder/,
    },
    "a folder with a file's name": {
      words: ["mkdir", "sample/one", ...cam1],
      kind: "nameCollision",
      sentence: /one/,
    },
    "a folder below a file": {
      words: ["mkdir", "-p", "sample/one/two", ...cam1],
      kind: "nameCollision",
      sentence: /one/,
    },
    "rm of a folder without -r": { words: ["rm", "sample", ...cam1], kind: "wrongKind", sentence: /folder/ },
    "rmdir of a file": { words: ["rmdir", "sample/one", ...cam1], kind: "wrongKind", sentence: /one/ },
    "rmdir of a folder that is not empty": {
      words: ["rmdir", "sample", ...cam1],
      kind: "folderNotEmpty",
      sentence: /sample/,
    },
    "moving a folder into itself": {
      words: ["mv", "sample", "sample/Größe 大小", ...cam1],
      kind: "wrongKind",
      sentence: /itself/,
    },
    "an unknown command": { words: ["pusj"], kind: "usage", sentence: /pusj|command|argument/ },
    "an unknown option": { words: ["push", "x", "--tp", "y"], kind: "usage", sentence: /tp/ },
    "a missing argument": { words: ["push"], kind: "usage", sentence: /missing/ },
  };
  for (const [what, { words, kind, sentence, environment }] of Object.entries(cases))
    it(what, async () => {
      const list = typeof words === "function" ? words() : words;
      const finished = await world.coffer(list, environment === undefined ? {} : { environment });
      requireRefused(finished, kind, sentence);
    });

  it("the same as JSON", async () => {
    requireRefusedJson(await world.coffer(["stat", "nowhere", "--json", ...cam1]), "pathNotFound");
  });

  it("a state folder where nothing was set up", async () => {
    requireRefused(
      await world.coffer(["ls"], { home: world.path("empty-home") }),
      "notInitialised",
      /no Coffer/,
    );
  });

  it("a relay that cannot be reached", async () => {
    const home = await world.homeThrough("nobody-listens", await freePort());
    requireRefused(await world.coffer(["ls", ...cam1], { home }), "relayUnreachable", /relay/);
  });

  it("a pairing secret that is not the device's", async () => {
    const home = await world.copyHome("other-pairing");
    const path = join(home, "devices", "cam1.json");
    const record = JSON.parse(await readFile(path, "utf8")) as { pairingSecret: string };
    await writeFile(path, JSON.stringify({ ...record, pairingSecret: "5a".repeat(32) }));
    requireRefused(await world.coffer(["ls", ...cam1], { home }), "pairingFailed", /cam1/);
  });

  it("a file where a folder is in the way, and the other way round", async () => {
    await mkdir(world.path("in-the-way", "one"), { recursive: true });
    await writeFile(world.path("in-the-way", "one", "precious"), "precious");
    const pulled = await world.coffer(["pull", "sample", "--to", world.path("in-the-way"), ...cam1]);
    equal(pulled.status !== 0, true, "a file must not replace a folder");
    equal(await readFile(world.path("in-the-way", "one", "precious"), "utf8"), "precious");
    await writeFile(world.path("flat"), "a file");
    requireRefused(
      await world.coffer(["pull", "sample", "--to", world.path("flat"), ...cam1]),
      "nameCollision",
      /flat/,
    );
    equal(await readFile(world.path("flat"), "utf8"), "a file");
  });

  it("a local disk that fills during pull", async function () {
    const disk = world.path("small-disk");
    await mkdir(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=400k", "coffer-test", disk], { stdio: "ignore" });
    } catch {
      this.skip(); // it takes root to mount
    }
    try {
      const words = ["pull", "sample", "--to", join(disk, "sample"), ...cam1];
      requireRefused(await world.coffer(words), "localDiskFull", /full/);
    } finally {
      execFileSync("umount", [disk]);
    }
  });

  it("a local folder that may not be written", async function () {
    if (process.getuid?.() === 0) this.skip(); // root may write everywhere
    await mkdir(world.path("read-only"), { mode: 0o500 });
    const words = ["pull", "sample", "--to", world.path("read-only", "sample"), ...cam1];
    requireRefused(await world.coffer(words), "localPermission", /allow/);
    await chmod(world.path("read-only"), 0o700);
  });
});
