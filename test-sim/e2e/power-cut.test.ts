// SPDX-License-Identifier: MIT
/** The plug of a board pulled in the middle of a push, with a card that loses what was not synced; a card that is full. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import type { Board } from "../board";
import { SimCard } from "../card";
import { SeededRandom } from "../seeded-random";
import { boardIn, bootInto } from "./board-in-world";
import { requireRefused } from "./refused";
import { TcpProxy } from "./tcp-proxy";
import { World } from "./world";

const seed = Number(process.env["COFFER_TEST_SEED"] ?? Date.now() % 1_000_000);
const cam1 = ["--device", "cam1"];
/** What a card may lose of each upload (BOARD_LIMITS.syncBytes) and what was under way to it (windowBytes). */
const resentBytes = 256 * 1024;
const streams = 2;

describe(`a board whose plug is pulled (COFFER_TEST_SEED=${String(seed)})`, function () {
  this.timeout(120_000);
  const random = new SeededRandom(seed);
  let world: World;
  let proxy: TcpProxy;
  let home: string;
  let board: Board;

  before(async () => {
    world = await World.create();
    await world.startRelay();
    proxy = await TcpProxy.start(world.port);
    home = await world.homeThrough("client", proxy.port);
    board = await boardIn(world, "cam1", new SimCard({ seed }));
    await bootInto(world, board);
  });
  after(async () => {
    await board.cutPower();
    await proxy.close();
    await world.close();
  });

  async function makeFiles(name: string, count: number, bytesEach: number): Promise<string> {
    const folder = world.path(name);
    await mkdir(folder);
    for (let index = 0; index < count; index += 1) {
      const bytes = new Uint8Array(bytesEach);
      random.fill(bytes);
      await writeFile(join(folder, `file-${String(index)}`), bytes);
    }
    return folder;
  }

  async function requireIdentical(tree: string): Promise<void> {
    const name = tree.slice(tree.lastIndexOf("/") + 1);
    const to = world.path(`${name}-back-${String(random.uint32())}`);
    await world.succeed(["pull", name, "--to", to, ...cam1]);
    deepEqual((await compareTrees(tree, to)).differences, []);
  }

  it("goes on by itself, loses nothing that it had acknowledged, and little travels twice", async () => {
    const before = await makeFiles("before", 3, 40_000);
    await world.succeed(["push", before, ...cam1]);
    const tree = await makeFiles("during", 6, 600_000);
    const treeBytes = 6 * 600_000;
    proxy.bytesPerSecond = 1_000_000;
    const upBefore = proxy.bytes.up;
    const push = world.spawn(["push", tree, ...cam1], { home });
    let cuts = 0;
    for (; cuts < 3 && push.isRunning; cuts += 1) {
      await delay(500 + random.below(900));
      await board.cutPower();
      await delay(100);
      await bootInto(world, board);
    }
    proxy.bytesPerSecond = undefined;
    const { status, stderr } = await push.finished();
    equal(status, 0, stderr);
    const up = proxy.bytes.up - upBefore;
    const allowed = treeBytes * 1.01 + cuts * (streams * resentBytes + 20_000) + 50_000;
    ok(
      up <= allowed,
      `${String(up)} bytes travelled for ${String(treeBytes)}, allowed are ${String(allowed)}`,
    );
    await requireIdentical(tree);
    await requireIdentical(before);
  });

  it("has everything again after a cut right behind the answer", async () => {
    for (let round = 0; round < 2; round += 1) {
      const tree = await makeFiles(`acknowledged-${String(round)}`, 3, 30_000);
      await world.succeed(["push", tree, ...cam1]);
      await board.cutPower();
      await bootInto(world, board);
      await requireIdentical(tree);
    }
  });

  it("says that its card is full, and keeps what it has", async () => {
    const small = await World.create();
    const card = new SimCard({ seed, capacityBytes: 12 * 1024 * 1024 });
    await small.startRelay();
    const full = await boardIn(small, "cam1", card);
    try {
      await bootInto(small, full);
      const fits = await makeFiles("fits", 2, 100_000);
      await small.succeed(["push", fits, ...cam1]);
      const tooMuch = await makeFiles("too-much", 4, 2_000_000);
      requireRefused(await small.coffer(["push", tooMuch, ...cam1]), "cardFull", /cam1/);
      equal(await small.succeed(["ls", ...cam1]), "fits\n");
      await small.succeed(["pull", "fits", "--to", small.path("back"), ...cam1]);
      deepEqual((await compareTrees(fits, small.path("back"))).differences, []);
    } finally {
      await full.cutPower();
      await small.close();
    }
  });
});
