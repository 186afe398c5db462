// SPDX-License-Identifier: MIT
/** A push or pull whose relay, network or client fails; a device that does is in ../scenarios. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import { Output } from "../../host-tools/render";
import { RemoteSession } from "../../host-tools/remote-session";
import { State } from "../../host-tools/state";
import { SeededRandom } from "../seeded-random";
import type { CofferProcess } from "./coffer-process";
import { TcpProxy } from "./tcp-proxy";
import { World, passphrase } from "./world";

const files = 12;
const fileBytes = 700_000;
const treeBytes = files * fileBytes;
/** About two seconds for the tree: long enough to be interrupted anywhere in it. */
const slowBytesPerSecond = treeBytes / 2;

const seed = Number(process.env["COFFER_TEST_SEED"] ?? Date.now() % 1_000_000);

describe(`interruption at random moments (COFFER_TEST_SEED=${String(seed)})`, function () {
  this.timeout(90_000);
  const random = new SeededRandom(seed);
  const cam1 = ["--device", "cam1"];
  let world: World;
  let proxy: TcpProxy;
  let home: string;
  let relay: CofferProcess;
  let trees = 0;

  before(async () => {
    world = await World.create();
    relay = await world.startRelay();
    await world.startNode("cam1");
    proxy = await TcpProxy.start(world.port);
    home = await world.homeThrough("client", proxy.port);
  });
  after(async () => {
    await proxy.close();
    await world.close();
  });
  beforeEach(() => {
    proxy.bytesPerSecond = slowBytesPerSecond;
  });

  /** A new folder of incompressible files. */
  async function newTree(): Promise<string> {
    const folder = world.path(`tree-${String(trees++)}`);
    await mkdir(folder);
    for (let index = 0; index < files; index += 1) {
      const bytes = new Uint8Array(fileBytes);
      random.fill(bytes);
      await writeFile(join(folder, `file-${String(index)}`), bytes);
    }
    return folder;
  }

  const moment = (): Promise<void> => delay(600 + random.below(1400));

  async function requireIdentical(tree: string): Promise<void> {
    proxy.bytesPerSecond = undefined;
    const name = tree.slice(tree.lastIndexOf("/") + 1);
    const to = world.path(`${name}-back`);
    await world.succeed(["pull", name, "--to", to, ...cam1], { home });
    deepEqual((await compareTrees(tree, to)).differences, []);
  }

  it("a killed relay is waited for, and the push goes on by itself", async () => {
    const tree = await newTree();
    const push = world.spawn(["push", tree, ...cam1], { home });
    await moment();
    await relay.kill("SIGKILL");
    await delay(300);
    relay = await world.startRelay();
    proxy.bytesPerSecond = undefined;
    const { status, stderr } = await push.finished();
    equal(status, 0, stderr);
    await requireIdentical(tree);
  });

  it("a network that is cut again and again only delays", async () => {
    const tree = await newTree();
    const push = world.spawn(["push", tree, ...cam1], { home });
    for (let cut = 0; cut < 4; cut += 1) {
      await delay(300 + random.below(500));
      proxy.cut();
    }
    proxy.bytesPerSecond = undefined;
    const { status, stderr } = await push.finished();
    equal(status, 0, stderr);
    await requireIdentical(tree);
  });

  it("a network that stalls only delays", async () => {
    const tree = await newTree();
    const push = world.spawn(["push", tree, ...cam1], { home });
    await moment();
    proxy.stall();
    await delay(3000);
    proxy.resume();
    proxy.bytesPerSecond = undefined;
    const { status, stderr } = await push.finished();
    equal(status, 0, stderr);
    await requireIdentical(tree);
  });

  it("Ctrl-C ends a push with its own status, and pushing again finishes it", async () => {
    const tree = await newTree();
    const push = world.spawn(["push", tree, ...cam1], { home });
    await moment();
    equal(await push.kill("SIGINT"), 100, push.said);
    equal((push.stderr.match(/coffer: error:/g) ?? []).length, 1, push.stderr);
    await world.succeed(["push", tree, ...cam1], { home });
    await requireIdentical(tree);
  });

  it("what still runs when a push is interrupted has its keys until it ends", async () => {
    const tree = await newTree();
    proxy.bytesPerSecond = undefined;
    const passphraseFile = world.path("passphrase");
    await writeFile(passphraseFile, passphrase);
    const output = new Output({ json: false, quiet: true });
    const session = new RemoteSession({ state: new State(home), output, devices: ["cam1"], passphraseFile });
    const sources = [tree];
    const interruptedOne = await session.repository();
    const work = interruptedOne.push({
      sources,
      to: "/",
      onProgress: ({ filesDone, bytesDone }) => {
        // Progress is told every 50 ms: after this pause the next step is told, too.
        for (const endMs = performance.now() + 60; performance.now() < endMs;);
        const isOpening = filesDone === 3 && bytesDone === 2 * fileBytes;
        if (isOpening) session.interrupt(new Error("stopped"), work);
      },
    });
    await rejects(work, /stopped/);
    const repository = await session.repository();
    const { problems, hashedBytes } = await repository.push({ sources, to: "/" });
    deepEqual(problems, []);
    equal(hashedBytes, treeBytes);
    await session.close();
    await requireIdentical(tree);
  });

  it("a killed pull leaves no half-written file under its name, and pulling again finishes it", async () => {
    const tree = await newTree();
    proxy.bytesPerSecond = undefined;
    await world.succeed(["push", tree, ...cam1], { home });
    proxy.bytesPerSecond = slowBytesPerSecond;
    const to = world.path("pulled-in-pieces");
    const name = tree.slice(tree.lastIndexOf("/") + 1);
    for (let kill = 0; kill < 2; kill += 1) {
      const pull = world.spawn(["pull", name, "--to", to, ...cam1], { home });
      await moment();
      await pull.kill("SIGKILL");
      for (const file of await readdir(to).catch(() => []))
        if (/^file-\d+$/.test(file)) {
          const { differences } = await compareTrees(join(tree, file), join(to, file));
          deepEqual(differences, []);
        }
    }
    proxy.bytesPerSecond = undefined;
    await world.succeed(["pull", name, "--to", to, ...cam1], { home });
    deepEqual((await compareTrees(tree, to)).differences, []);
  });
});
