// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { Refusal } from "../refusal";
import type { Repository } from "./repository";
import { MemoryDevice } from "./testing/memory-device";
import { Scratch, noise, QUICK_SECRET } from "./testing/scratch";

describe("prune", () => {
  let scratch: Scratch;
  let device: MemoryDevice;

  beforeEach(async () => {
    scratch = new Scratch(QUICK_SECRET);
    device = new MemoryDevice();
    await scratch.create();
  });
  afterEach(async () => {
    await scratch.remove();
  });

  it("deletes what an interrupted push left, and only that", async () => {
    const repository = await scratch.open([device]);
    scratch.write("a/x", "x");
    await repository.push({ sources: [scratch.path("a")], to: "/" });
    const stray = randomBytes(1000);
    const id = createHash("sha256").update(stray).digest();
    await device.put(id, [stray]);
    const dry = await repository.prune({ isDryRun: true });
    assert.deepEqual([dry.unreferencedBlobs, dry.unreferencedBytes, dry.deadPacks], [1, 1000, 0]);
    assert.deepEqual(await device.has([id]), [true]);
    const report = await repository.prune();
    assert.deepEqual([report.deletedBlobs, report.freedBytes], [1, 1000]);
    assert.deepEqual(await device.has([id]), [false]);
    await repository.pull({ remote: "/a", to: scratch.path("back") });
    const again = await (await scratch.open([device], { home: scratch.path("other") })).prune();
    assert.deepEqual([again.deletedBlobs, again.deadPacks, again.condemnedPacks], [0, 0, 0]);
  });

  /** Three versions of a folder of files, the first two forgotten; `old` and `both` are in the forgotten ones. */
  async function pushAndForget(repository: Repository): Promise<void> {
    scratch.write("f/kept", noise(1, 200_000));
    scratch.write("f/both", noise(2, 150_000));
    scratch.write("f/old", noise(3, 1_200_000));
    await repository.push({ sources: [scratch.path("f")], to: "/" });
    await repository.remove("/f/old");
    await repository.remove("/f/both");
    scratch.write("g/new", noise(4, 100_000));
    await repository.push({ sources: [scratch.path("g")], to: "/" });
    await repository.versions.forget({ policy: { last: 1 } });
  }

  function storedBytes(of = device): number {
    return [...of.blobs.values()].reduce((sum, blob) => sum + blob.length, 0);
  }

  async function assertWhole(devices = [device]): Promise<void> {
    const fresh = await scratch.open(devices, { home: scratch.path(`fresh-${String(Math.random())}`) });
    const pulled = await fresh.pull({ remote: "/f", to: scratch.path("back-f") });
    await fresh.pull({ remote: "/g", to: scratch.path("back-g") });
    assert.deepEqual(pulled.problems, []);
    assert.deepEqual(readdirSync(scratch.path("back-f")), ["kept"]);
    assert.deepEqual(readFileSync(scratch.path("back-f/kept")), readFileSync(scratch.path("f/kept")));
    assert.deepEqual(readFileSync(scratch.path("back-g/new")), readFileSync(scratch.path("g/new")));
    rmSync(scratch.path("back-f"), { recursive: true });
    rmSync(scratch.path("back-g"), { recursive: true });
  }

  it("frees what only forgotten versions need, says so before, and leaves the rest whole", async () => {
    const repository = await scratch.open([device]);
    await pushAndForget(repository);
    const before = storedBytes();
    const dry = await repository.prune({ isDryRun: true });
    assert.equal(storedBytes(), before);
    const report = await repository.prune({ maxUnused: 0 });
    assert.ok(report.freedBytes >= 1_200_000, `${String(report.freedBytes)} bytes`);
    assert.ok(dry.deadBytes + dry.repackedBytes >= 1_200_000);
    assert.ok(storedBytes() < 350_000, `${String(storedBytes())} bytes stay`);
    await assertWhole();
    const again = await repository.prune({ maxUnused: 0 });
    assert.deepEqual([again.deletedBlobs, again.deadPacks, again.repackedPacks], [0, 0, 0]);
  });

  it("keeps every version that was not forgotten", async () => {
    const repository = await scratch.open([device]);
    await pushAndForget(repository);
    scratch.write("f/kept", noise(9, 210_000));
    await repository.push({ sources: [scratch.path("f")], to: "/" });
    await repository.prune({ maxUnused: 0 });
    const kept: string[] = [];
    for await (const { id } of repository.versions.log()) kept.push(id);
    assert.equal(kept.length, 2);
    for (const at of kept) {
      const { problems } = await repository.pull({ remote: "/", to: scratch.path(at), at });
      assert.deepEqual(problems, []);
    }
  });

  it("waits for the hold when there are several writers, and stores again what somebody needs meanwhile", async () => {
    const one = await scratch.open([device]);
    await pushAndForget(one);
    const two = await scratch.open([device], { home: scratch.path("two") });
    scratch.write("h/x", "x");
    await two.push({ sources: [scratch.path("h")], to: "/" });
    const before = storedBytes();
    const first = await one.prune({ maxUnused: 0 });
    assert.equal(first.freedBytes, 0);
    assert.ok(storedBytes() >= before, "nothing goes before the hold is over");
    // what was condemned is not there for the other computer: it is stored anew, under other names
    scratch.write("again/old", noise(3, 1_200_000));
    const pushed = await two.push({ sources: [scratch.path("again")], to: "/" });
    assert.ok(pushed.storedBytes > 1_150_000);
    const second = await one.prune({ maxUnused: 0, holdMs: 1 });
    assert.ok(second.freedBytes > 1_200_000);
    await assertWhole();
    const fresh = await scratch.open([device], { home: scratch.path("three") });
    await fresh.pull({ remote: "/again/old", to: scratch.path("old-again") });
    assert.deepEqual(readFileSync(scratch.path("old-again")), readFileSync(scratch.path("again/old")));
  });

  it("meets pushes at every call without losing what they acknowledge", async () => {
    for (let call = 1; ; call++) {
      const home = scratch.path(`home-${String(call)}`);
      await scratch.create(home);
      device = new MemoryDevice();
      const one = await scratch.open([device], { home });
      await pushAndForget(one);
      const two = await scratch.open([device], { home: scratch.path(`other-${String(call)}`) });
      scratch.write("old/old", noise(3, 1_200_000));
      let calls = 0;
      let pruned: Promise<unknown> | undefined;
      device.onCall = async () => {
        if (++calls !== call || pruned) return;
        // within one call of the push a whole prune goes by, without any hold
        pruned = one.prune({ maxUnused: 0, holdMs: 0 });
        await pruned;
      };
      await two.push({ sources: [scratch.path("old")], to: "/" });
      device.onCall = undefined;
      if (!pruned) {
        assert.ok(call > 5, "the prune never met the push");
        return;
      }
      const fresh = await scratch.open([device], { home: scratch.path(`third-${String(call)}`) });
      const { problems } = await fresh.pull({ remote: "/old", to: scratch.path(`back-${String(call)}`) });
      assert.deepEqual(problems, [], `call ${String(call)}`);
    }
  }).timeout(60_000);

  it("comes through a crash at any call, and the next one goes on", async () => {
    for (let call = 1; ; call++) {
      const home = scratch.path(`home-${String(call)}`);
      await scratch.create(home);
      device = new MemoryDevice();
      const repository = await scratch.open([device], { home });
      await pushAndForget(repository);
      let calls = 0;
      device.onCall = () => {
        if (++calls >= call) throw new Error("the plug was pulled");
        return Promise.resolve();
      };
      const isDone = await repository.prune({ maxUnused: 0 }).then(
        () => true,
        () => false,
      );
      device.onCall = undefined;
      await assertWhole();
      await (await scratch.open([device], { home })).prune({ maxUnused: 0 });
      assert.ok(storedBytes() < 400_000, `call ${String(call)}: ${String(storedBytes())} bytes stay`);
      await assertWhole();
      if (isDone) return;
    }
  }).timeout(60_000);

  it("repacks what several devices have for those that have it", async () => {
    const second = new MemoryDevice({ name: "second" });
    const repository = await scratch.open([device, second]);
    await pushAndForget(repository);
    await repository.prune({ maxUnused: 0 });
    assert.ok(storedBytes() < 350_000 && storedBytes(second) < 350_000);
    await assertWhole();
    await assertWhole([second]);
  });

  it("deletes from a device that was away what was dropped meanwhile", async () => {
    const second = new MemoryDevice({ name: "second" });
    await pushAndForget(await scratch.open([device, second]));
    const report = await (await scratch.open([device])).prune();
    assert.ok(report.freedBytes > 0);
    const before = storedBytes(second);
    await (await scratch.open([device, second])).prune();
    assert.ok(storedBytes(second) < before);
    await assertWhole([second]);
  });

  it("refuses a repository in which a needed chunk is in no pack", async () => {
    const repository = await scratch.open([device]);
    await pushAndForget(repository);
    const fresh = await scratch.open([device], { home: scratch.path("fresh") });
    for (const key of [...device.blobs.keys()]) device.blobs.delete(key);
    await assert.rejects(fresh.prune(), (error) => error instanceof Refusal);
  });
});
