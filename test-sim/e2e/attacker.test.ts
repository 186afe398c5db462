// SPDX-License-Identifier: MIT
/** From the attacker's side: what relay and card see, what a tampering relay achieves, what a manipulated card achieves. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { cp, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { FrameType } from "../../firmware/protocol/frame";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import { LeakSearch, type Needle, needlesOf, searchFolder } from "../../host-tools/demo/leak-search";
import { State } from "../../host-tools/state";
import { ExitStatus } from "../../host-tools/exit-status";
import { SeededRandom } from "../seeded-random";
import { blobFiles, flipBit, swapFiles } from "./card-folder";
import type { CofferProcess } from "./coffer-process";
import { distinctiveText, makeSampleTree } from "./sample-tree";
import { type FrameTap, TappedRelay } from "./tapped-relay";
import { World, passphrase } from "./world";

const seed = Number(process.env["COFFER_TEST_SEED"] ?? Date.now() % 1_000_000);
const cam1 = ["--device", "cam1"];

describe("what relay and card see", function () {
  this.timeout(60_000);
  let world: World;
  let relay: TappedRelay;
  let needles: Needle[];
  const searches = new Map<number, LeakSearch>();
  let seenBytes = 0;

  before(async () => {
    world = await World.create();
    relay = await TappedRelay.start(world.home, world.port);
    await makeSampleTree(world.path("sample-of-secrets"), { seed: 11, largeBytes: 2_500_000 });
    needles = await needlesOf(world.path("sample-of-secrets"));
    const { pairingSecret } = await new State(world.home).loadDevice("cam1");
    needles.push(
      { what: "the passphrase", bytes: Buffer.from(passphrase) },
      { what: "the pairing secret", bytes: Buffer.from(pairingSecret) },
      { what: "the text", bytes: Buffer.from(distinctiveText.trim()) },
      { what: "a link's target", bytes: Buffer.from("../nowhere/at all") },
    );
    relay.onBytes = (bytes, connection) => {
      seenBytes += bytes.length;
      const search = searches.get(connection) ?? new LeakSearch(needles);
      searches.set(connection, search);
      search.next(bytes);
    };
    await world.startNode("cam1");
    await world.succeed(["push", world.path("sample-of-secrets"), ...cam1]);
    await world.succeed(["mv", "sample-of-secrets", "renamed-secretly", ...cam1]);
    await world.succeed(["ls", "-R", ...cam1]);
    await world.succeed(["pull", "renamed-secretly", "--to", world.path("back"), ...cam1]);
  });
  after(async () => {
    await world.close();
    await relay.stop();
  });

  it("the search finds what is there", async () => {
    const found = await searchFolder(world.path("sample-of-secrets"), needles);
    ok(found.length >= 10, found.join());
  });

  it("the relay saw all of it pass and not one name, content or secret", () => {
    ok(seenBytes > 5_000_000, String(seenBytes));
    deepEqual(
      [...searches.values()].flatMap((search) => search.found),
      [],
    );
  });

  it("the card holds all of it and not one name, content or passphrase", async () => {
    const found = await searchFolder(world.path("card-cam1"), needles);
    deepEqual(found, []);
    const stored = await blobFiles(world.path("card-cam1"));
    ok(stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) > 2_500_000);
  });
});

describe(`a relay that tampers (COFFER_TEST_SEED=${String(seed)})`, function () {
  this.timeout(120_000);
  const random = new SeededRandom(seed);
  let world: World;
  let relay: TappedRelay;
  let attacks = 0;

  before(async () => {
    world = await World.create();
    relay = await TappedRelay.start(world.home, world.port);
    await world.startNode("cam1");
    await makeSampleTree(world.path("base"), { seed: 5, largeBytes: 600_000, smallFiles: 20 });
    await world.succeed(["push", world.path("base"), ...cam1]);
  });
  after(async () => {
    await world.close();
    await relay.stop();
  });

  const isData = (type: number): boolean => type === FrameType.data;
  /** Changes the payload only: a frame's header is the relay's own affair. */
  const flipped = (bytes: Buffer, at: number): Buffer => {
    const changed = Buffer.from(bytes);
    const position = 6 + (at % (bytes.length - 6));
    changed[position] = (changed[position] ?? 0) ^ (1 << (at & 7));
    return changed;
  };

  /** Does something once, at the `n`-th frame of data of either direction. */
  function once(n: number, attack: FrameTap): FrameTap {
    let count = 0;
    return (frame) => (isData(frame.header.type) && count++ === n ? attack(frame) : [frame.bytes]);
  }

  const kinds: Readonly<Record<string, (n: number) => FrameTap>> = {
    flips: (n) => once(n, ({ bytes }) => [flipped(bytes, random.below(4096))]),
    drops: (n) => once(n, () => []),
    repeats: (n) => once(n, ({ bytes }) => [bytes, bytes]),
    reorders: (n) => {
      let held: Buffer | undefined;
      let connection = -1;
      const hold = once(n, (frame) => {
        held = frame.bytes;
        connection = frame.connection;
        return [];
      });
      return (frame) => {
        if (held === undefined || frame.connection !== connection || !isData(frame.header.type))
          return hold(frame);
        const late = held;
        held = undefined;
        return [frame.bytes, late];
      };
    },
    splices: (n) => {
      let other: Buffer | undefined;
      return (frame) => {
        if (!isData(frame.header.type)) return [frame.bytes];
        const spliced = other;
        if (frame.bytes.length > 60 && other === undefined) other = frame.bytes;
        if (spliced === undefined || n-- !== 0) return [frame.bytes];
        // Another frame's payload under this frame's channel.
        const header = Buffer.from(frame.bytes.subarray(0, 4));
        return [Buffer.concat([header, spliced.subarray(4)])];
      };
    },
    "flips every frame": () => (frame) => [
      isData(frame.header.type) ? flipped(frame.bytes, random.below(4096)) : frame.bytes,
    ],
  };

  for (const [kind, attackAt] of Object.entries(kinds))
    for (const command of ["push", "pull"] as const)
      it(`that ${kind} gets no wrong byte through a ${command}`, async () => {
        attacks += 1;
        const name = `attacked-${String(attacks)}`;
        const tree = world.path(name);
        await makeSampleTree(tree, { seed: 100 + attacks, largeBytes: 500_000, smallFiles: 5 });
        if (command === "pull") await world.succeed(["push", tree, ...cam1]);
        const to = world.path(`${name}-back`);
        const n = random.below(15);
        const attack = attackAt(n);
        let hasAttacked = false;
        relay.onFrame = (frame) => {
          const sent = attack(frame);
          if (sent.length !== 1 || sent[0] !== frame.bytes) hasAttacked = true;
          return sent;
        };
        const words = command === "push" ? ["push", tree, ...cam1] : ["pull", name, "--to", to, ...cam1];
        const { status, stderr } = await world.coffer(words, { environment: { COFFER_PATIENCE: "3" } });
        relay.onFrame = ({ bytes }) => [bytes];
        ok(hasAttacked, `there was no frame ${String(n)}`);
        const allowed: readonly number[] = [
          ExitStatus.ok,
          ExitStatus.protocolViolation,
          ExitStatus.connectionLost,
          ExitStatus.deviceOffline,
          ExitStatus.corruptedBlob,
          ExitStatus.pairingFailed,
          ExitStatus.logTampered,
        ];
        ok(allowed.includes(status), `frame ${String(n)}: ${String(status)} ${stderr}`);
        if (kind === "flips every frame") ok(status !== 0, "that cannot have worked");
        if (command === "pull" && status === 0) deepEqual((await compareTrees(tree, to)).differences, []);
      });

  it("has broken nothing for good: the same pushes work when it is honest again, and everything is there", async () => {
    const names = ["base", ...Array.from({ length: attacks }, (_, index) => `attacked-${String(index + 1)}`)];
    await world.succeed(["push", ...names.map((name) => world.path(name)), ...cam1]);
    await world.succeed(["pull", "/", "--to", world.path("everything"), ...cam1]);
    for (const name of names)
      deepEqual((await compareTrees(world.path(name), world.path("everything", name))).differences, [], name);
  });
});

describe("a card that was manipulated", function () {
  this.timeout(60_000);
  let world: World;
  let node: CofferProcess;
  const card = (name: string): string => world.path(name);

  before(async () => {
    world = await World.create();
    await world.startRelay();
    node = await world.startNode("cam1");
    await makeSampleTree(world.path("first"), { seed: 21, largeBytes: 1_500_000 });
    await makeSampleTree(world.path("second"), { seed: 22, largeBytes: 1_500_000 });
    await world.succeed(["push", world.path("first"), ...cam1]);
    await node.kill("SIGTERM");
    await cp(card("card-cam1"), card("old"), { recursive: true });
    node = await world.startNode("cam1");
    await world.succeed(["push", world.path("second"), ...cam1]);
    await node.kill("SIGTERM");
    await rename(card("card-cam1"), card("honest"));
  });
  after(() => world.close());

  /** Starts the node on a manipulated copy of the card; whatever the client remembers is that of the honest one. */
  async function insert(change: (folder: string) => Promise<void>, source = "honest"): Promise<void> {
    await node.kill("SIGTERM");
    await rm(card("card-cam1"), { recursive: true, force: true });
    await cp(card(source), card("card-cam1"), { recursive: true });
    await change(card("card-cam1"));
    node = await world.startNode("cam1");
  }

  /** Pulls, and checks that whatever came is right and that something was found to be wrong. */
  async function requireNoticed(name: string): Promise<void> {
    const to = world.path(`pulled-${String(Math.random()).slice(2)}`);
    const { status, stderr } = await world.coffer(["pull", name, "--to", to, ...cam1]);
    const allowed: readonly number[] = [
      ExitStatus.corruptedBlob,
      ExitStatus.missingBlob,
      ExitStatus.incomplete,
    ];
    ok(allowed.includes(status), `${String(status)} ${stderr}`);
    await requireTrue(world.path(name), to);
  }

  /** Every file that was written is a true one. */
  async function requireTrue(original: string, copy: string): Promise<void> {
    const entries = await readdir(copy, { withFileTypes: true }).catch(() => []);
    for (const entry of entries)
      if (entry.isFile() && !entry.name.startsWith(".")) {
        const { differences } = await compareTrees(join(original, entry.name), join(copy, entry.name));
        deepEqual(
          differences.filter((difference) => /bytes/.test(difference)),
          [],
        );
      }
  }

  it("one flipped bit in the largest blob is noticed, and the other files come", async () => {
    await insert(async (folder) => {
      const [largest] = await blobFiles(folder);
      await flipBit(largest?.path ?? "", (largest?.sizeBytes ?? 0) - 100_000);
    });
    await requireNoticed("first");
  });

  it("swapped blobs are noticed", async () => {
    await insert(async (folder) => {
      const [one, other] = await blobFiles(folder);
      await swapFiles(one?.path ?? "", other?.path ?? "");
    });
    const [first, second] = [
      await world.coffer(["pull", "first", "--to", world.path("swapped-first"), ...cam1]),
      await world.coffer(["pull", "second", "--to", world.path("swapped-second"), ...cam1]),
    ];
    ok(first.status !== 0 || second.status !== 0);
    await requireTrue(world.path("first"), world.path("swapped-first"));
    await requireTrue(world.path("second"), world.path("swapped-second"));
  });

  it("a card that was set back to yesterday is noticed and named", async () => {
    await insert(() => Promise.resolve(), "old");
    const { status, stderr } = await world.coffer(["ls", ...cam1]);
    equal(status, ExitStatus.logTampered, stderr);
  });

  it("an empty card in the device's place is noticed and named", async () => {
    await insert(async (folder) => {
      await rm(folder, { recursive: true });
      await mkdir(folder);
    });
    const { status, stderr } = await world.coffer(["ls", ...cam1]);
    equal(status, ExitStatus.logTampered, stderr);
  });

  it("the honest card is still good", async () => {
    await insert(() => Promise.resolve());
    for (const name of ["first", "second"]) {
      await world.succeed(["pull", name, "--to", world.path(`${name}-back`), ...cam1]);
      deepEqual((await compareTrees(world.path(name), world.path(`${name}-back`))).differences, []);
    }
  });
});
