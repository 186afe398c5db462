// SPDX-License-Identifier: MIT
/** From the attacker's side: what relay and card see, what a tampering relay achieves, what a manipulated card achieves. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { cp, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import { LeakSearch, type Needle, needlesOf, searchFolder } from "../../host-tools/demo/leak-search";
import { State } from "../../host-tools/state";
import { ExitStatus } from "../../host-tools/exit-status";
import { SeededRandom } from "../seeded-random";
import { blobFiles, flipBit, swapFiles } from "./card-folder";
import type { CofferProcess } from "./coffer-process";
import { distinctiveText, makeSampleTree } from "./sample-tree";
import { TamperedWorld, cunningAttacks } from "./tampering";
import { TappedRelay } from "./tapped-relay";
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

describe(`a relay that tampers with more thought (COFFER_TEST_SEED=${String(seed)})`, function () {
  this.timeout(120_000);
  let world: World;
  let relay: TappedRelay;
  let tampered: TamperedWorld;

  before(async () => {
    world = await World.create();
    relay = await TappedRelay.start(world.home, world.port);
    tampered = new TamperedWorld(world, relay, new SeededRandom(seed));
    await world.startNode("cam1");
    await world.succeed(["mkdir", "there-already", ...cam1]);
  });
  after(async () => {
    await world.close();
    await relay.stop();
  });

  for (const [kind, attack] of Object.entries(cunningAttacks))
    for (const command of ["push", "pull"] as const)
      it(`that ${kind} gets no wrong byte through a ${command}`, () =>
        tampered.attack(kind, attack, command));

  it("has broken nothing for good: the same pushes work when it is honest again, and everything is there", () =>
    tampered.requireUnharmed());
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
