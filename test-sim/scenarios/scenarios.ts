// SPDX-License-Identifier: MIT
/**
 * What every device has to do, whatever its firmware runs on: one set of scenarios, from the command line through the real relay
 * to the card. Declared for each host that is present; what differs between hosts is behind `DeviceHost`.
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { FrameType, encodeFrame } from "../../firmware/protocol/frame";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import type { CofferProcess } from "../e2e/coffer-process";
import { requireRefused } from "../e2e/refused";
import { makeSampleTree } from "../e2e/sample-tree";
import { TamperedWorld, simpleAttacks } from "../e2e/tampering";
import { TappedRelay } from "../e2e/tapped-relay";
import { TcpProxy } from "../e2e/tcp-proxy";
import { World } from "../e2e/world";
import { SeededRandom } from "../seeded-random";
import type { DeviceHost, ScenarioDevice } from "./device-host";

export const seed = Number(process.env["COFFER_TEST_SEED"] ?? Date.now() % 1_000_000);

const cam1 = ["--device", "cam1"];
const files = 10;
const fileBytes = 600_000;
const treeBytes = files * fileBytes;
/** On each connection: slow enough to be interrupted anywhere in a tree. */
const slowBytesPerSecond = treeBytes / 2;
/** Before each interruption; more than what may travel twice after one, so that it shows when nothing is resumed. */
const uninterruptedBytes = 1_600_000;
/** A client's connections to one device. */
const streams = 2;
/** Handshakes and questions after an interruption, and what surrounds a tree's bytes. */
const overheadBytes = 50_000;
const smallCardBytes = 12 * 1024 * 1024;

interface DeviceLine {
  kind: string;
  isOnline?: boolean;
  host?: string;
  card?: string;
  bootCount?: number;
  capacityBytes?: number;
  freeBytes?: number;
}

/** A world with a relay that a test can make hostile, a device, and a client whose network a test can slow down. */
interface Scene {
  world: World;
  relay: TappedRelay;
  device: ScenarioDevice;
  close(): Promise<void>;
}

async function setScene(host: DeviceHost, capacityBytes?: number): Promise<Scene> {
  const world = await World.create();
  const relay = await TappedRelay.start(world.home, world.port);
  let device: ScenarioDevice | undefined;
  const close = async (): Promise<void> => {
    await device?.stop();
    await world.close();
    await relay.stop();
  };
  try {
    const card = capacityBytes === undefined ? {} : { capacityBytes };
    device = await host.device({ world, name: "cam1", seed, ...card });
    return { world, relay, device, close };
  } catch (error) {
    await close(); // nobody else would end what has been started
    throw error;
  }
}

/** Incompressible files. */
async function makeFiles(
  folder: string,
  random: SeededRandom,
  count: number,
  bytesEach: number,
): Promise<void> {
  await mkdir(folder);
  for (let index = 0; index < count; index += 1) {
    const bytes = new Uint8Array(bytesEach);
    random.fill(bytes);
    await writeFile(join(folder, `file-${String(index)}`), bytes);
  }
}

/** Pulls what was pushed as `name` from the world's folder of that name, and compares. */
async function requireIdentical(world: World, name: string, home = world.home): Promise<void> {
  const to = world.path(`${name}-back-${String(performance.now())}`);
  await world.succeed(["pull", name, "--to", to, ...cam1], { home });
  deepEqual((await compareTrees(world.path(name), to)).differences, []);
}

/** It dials by itself, after a pause that grows with its failures. */
async function untilOnline(world: World): Promise<void> {
  const endMs = performance.now() + 30_000;
  while (!(await world.isOnline("cam1"))) {
    if (performance.now() > endMs) throw new Error("cam1 does not come back");
    await delay(20);
  }
}

/** Declares all scenarios on one host. `makeHost` is called when they begin. */
export function describeScenarios(title: string, makeHost: () => DeviceHost | Promise<DeviceHost>): void {
  describe(`scenarios on ${title} (COFFER_TEST_SEED=${String(seed)})`, function () {
    this.timeout(120_000);
    const random = new SeededRandom(seed);
    let host: DeviceHost;
    let scene: Scene;
    let proxy: TcpProxy;
    /** Of the client behind the proxy. */
    let home: string;

    before(async function () {
      this.timeout(600_000); // a host may have to be built
      host = await makeHost();
      scene = await setScene(host);
      proxy = await TcpProxy.start(scene.world.port);
      home = await scene.world.homeThrough("client", proxy.port);
      await scene.device.start();
    });
    after(async () => {
      // Without a scene there is no proxy either, and `before` has told why.
      await (proxy as TcpProxy | undefined)?.close();
      await (scene as Scene | undefined)?.close();
    });

    /** What may travel twice after one interruption: what the device had not written down, and what was on its way. */
    const resentBytes = (): number =>
      streams * (host.limits.syncBytes + host.limits.windowBytes) + overheadBytes;

    function requireLittleTwice(upBytes: number, interruptions: number): void {
      const allowed = treeBytes * 1.01 + interruptions * resentBytes() + overheadBytes;
      ok(
        upBytes <= allowed,
        `${String(upBytes)} bytes travelled for ${String(treeBytes)}, allowed are ${String(allowed)}`,
      );
    }

    /** Until so much more has left the client. */
    async function sending(push: CofferProcess, bytes: number): Promise<void> {
      const before = proxy.bytes.up;
      await push.until(`${String(bytes)} bytes sent`, () => proxy.bytes.up >= before + bytes);
    }

    it("push and pull: every byte, mode, time and link comes back", async () => {
      const { world } = scene;
      await makeSampleTree(world.path("sample"), { seed, largeBytes: 1_500_000 });
      await world.succeed(["push", world.path("sample"), ...cam1]);
      await requireIdentical(world, "sample");
      const [, status] = await world.json<DeviceLine>(["status", ...cam1]);
      deepEqual([status?.isOnline, status?.host, status?.card], [true, host.name, "ok"]);
      ok((status?.freeBytes ?? 0) > 0 && (status?.freeBytes ?? 0) < (status?.capacityBytes ?? 0));
    });

    it("hostile relay: frames that are changed, lost or sent again bring nobody a wrong byte", async () => {
      const tampered = new TamperedWorld(scene.world, scene.relay, random);
      for (const [kind, attack] of Object.entries(simpleAttacks))
        for (const command of ["push", "pull"] as const) await tampered.attack(kind, attack, command);
      await tampered.requireUnharmed();
    });

    it("hostile relay: what it makes up costs the device its connection, and nothing else", async () => {
      const { world, relay } = scene;
      const starts = async (): Promise<unknown> =>
        (await world.json<DeviceLine>(["status", ...cam1]))[1]?.bootCount;
      const startsBefore = await starts();
      const tooLong = Uint8Array.of(FrameType.data, 0, 0, 1, 0xff, 0xff);
      const noWelcome = encodeFrame(FrameType.welcome, 0, new Uint8Array(5));
      for (const bytes of [tooLong, noWelcome]) {
        await relay.provoke("device", "cam1", bytes);
        await untilOnline(world);
      }
      equal(await starts(), startsBefore);
      await requireIdentical(world, "sample");
    });

    it("two clients: both push at once, and both see all of it afterwards", async () => {
      const { world } = scene;
      const other = await world.secondComputer("other-home");
      const names = ["of-one", "of-other"] as const;
      await Promise.all(
        names.map((name, index) =>
          makeSampleTree(world.path(name), { seed: seed + index, largeBytes: 1_000_000 }),
        ),
      );
      const pushes = await Promise.all([
        world.coffer(["push", world.path(names[0]), ...cam1]),
        world.coffer(["push", world.path(names[1]), ...cam1], { home: other }),
      ]);
      deepEqual(
        pushes.map(({ status, stderr }) => [status, stderr]),
        [
          [0, ""],
          [0, ""],
        ],
      );
      for (const name of names)
        for (const seenFrom of [world.home, other]) await requireIdentical(world, name, seenFrom);
    });

    it("resume: a push that was killed goes on where it was, and little travels twice", async () => {
      const { world } = scene;
      await makeFiles(world.path("resumed"), random, files, fileBytes);
      const upBefore = proxy.bytes.up;
      proxy.bytesPerSecond = slowBytesPerSecond;
      let kills = 0;
      for (; kills < 2; kills += 1) {
        const push = world.spawn(["push", world.path("resumed"), ...cam1], { home });
        await sending(push, uninterruptedBytes);
        const status = await push.kill("SIGKILL");
        equal(status, -1, `it was quicker than the kill: ${push.said}`);
        ok(!(await world.succeed(["ls", ...cam1])).includes("resumed"), "nothing half is listed");
      }
      proxy.bytesPerSecond = undefined;
      await world.succeed(["push", world.path("resumed"), ...cam1], { home });
      requireLittleTwice(proxy.bytes.up - upBefore, kills);
      await requireIdentical(world, "resumed");
    });

    it("power cut: the push goes on by itself, nothing acknowledged is lost, and little travels twice", async () => {
      const { world, device } = scene;
      await makeFiles(world.path("acknowledged"), random, 3, 40_000);
      await world.succeed(["push", world.path("acknowledged"), ...cam1]);
      await makeFiles(world.path("cut"), random, files, fileBytes);
      const upBefore = proxy.bytes.up;
      proxy.bytesPerSecond = slowBytesPerSecond;
      const push = world.spawn(["push", world.path("cut"), ...cam1], { home });
      let cuts = 0;
      for (; cuts < 3; cuts += 1) {
        await sending(push, 1_000_000);
        await device.cutPower(random);
        await device.start();
      }
      proxy.bytesPerSecond = undefined;
      const { status, stderr } = await push.finished();
      equal(status, 0, stderr);
      requireLittleTwice(proxy.bytes.up - upBefore, cuts);
      await requireIdentical(world, "cut");
      await requireIdentical(world, "acknowledged");
    });

    it("power cut right behind the answer: it is all there", async () => {
      const { world, device } = scene;
      for (const name of ["answered-1", "answered-2"]) {
        await makeFiles(world.path(name), random, 3, 30_000);
        await world.succeed(["push", world.path(name), ...cam1]);
        await device.cutPower();
        await device.start();
        await requireIdentical(world, name);
      }
    });

    it("its card goes on in a host node as it is, and comes back with more", async () => {
      const { world, device } = scene;
      await device.stop();
      const node = await world.startNode("cam1", device.folder);
      await requireIdentical(world, "cut");
      await makeFiles(world.path("elsewhere"), random, 2, 300_000);
      await world.succeed(["push", world.path("elsewhere"), ...cam1]);
      await node.kill("SIGTERM");
      await device.start();
      await requireIdentical(world, "elsewhere");
      await world.succeed(["verify", "--read-data", ...cam1]);
    });

    it("full card: it says so, keeps what it has, and goes on when something fits", async () => {
      const small = await setScene(host, smallCardBytes);
      const { world, device } = small;
      try {
        await device.start();
        const [, empty] = await world.json<DeviceLine>(["status", ...cam1]);
        equal(empty?.capacityBytes, smallCardBytes);
        await makeFiles(world.path("fits"), random, 2, 100_000);
        await world.succeed(["push", world.path("fits"), ...cam1]);
        await makeFiles(world.path("too-much"), random, 8, 2_000_000);
        requireRefused(await world.coffer(["push", world.path("too-much"), ...cam1]), "cardFull", /cam1/);
        equal(await world.succeed(["ls", ...cam1]), "fits\n");
        await requireIdentical(world, "fits");
        await world.succeed(["prune", "--hold", "0", ...cam1]);
        await makeFiles(world.path("fits-too"), random, 2, 100_000);
        await world.succeed(["push", world.path("fits-too"), ...cam1]);
        await requireIdentical(world, "fits-too");
      } finally {
        await small.close();
      }
    });
  });
}
