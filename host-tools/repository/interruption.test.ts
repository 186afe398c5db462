// SPDX-License-Identifier: MIT
/**
 * Kills a push at every call to the device, in the middle of every upload and with every answer lost, then starts over
 * with a new process state (only the files of the state folder and the device remain).
 */
import assert from "node:assert/strict";
import { appendFileSync, cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Refusal } from "../refusal";
import { toByteString } from "./byte-names";
import { PushJournal } from "./journal";
import { fileKey, statLocal } from "./local-stat";
import { Repository } from "./repository";
import { MemoryDevice, lost } from "./testing/memory-device";
import { QUICK_SECRET, Scratch, assertSameTree, noise } from "./testing/scratch";

const MIB = 1024 * 1024;

describe("interrupted pushes", () => {
  let scratch: Scratch;
  let source: string;

  beforeEach(async () => {
    scratch = new Scratch(QUICK_SECRET);
    await scratch.create();
    scratch.write("tree/big", noise(11, 6 * MIB));
    scratch.write("tree/sub/medium", noise(12, 900_000));
    for (let i = 0; i < 20; i++) scratch.write(`tree/small/${String(i)}`, noise(100 + i, 5000));
    source = scratch.path("tree");
  });
  afterEach(async () => {
    await scratch.remove();
  });

  async function attempt(
    home: string,
    devices: MemoryDevice[],
  ): Promise<Awaited<ReturnType<Repository["push"]>>> {
    const repository = await Repository.open({
      home,
      passphrase: QUICK_SECRET,
      computer: "computer",
      devices,
    });
    try {
      return await repository.push({ sources: [source], to: "/" });
    } finally {
      await repository.close();
    }
  }

  /** How many calls a push makes, uninterrupted. */
  async function countCalls(): Promise<number> {
    const device = new MemoryDevice({ preferredBlobBytes: MIB });
    cpSync(scratch.home, scratch.path("count"), { recursive: true });
    await attempt(scratch.path("count"), [device]);
    return device.calls;
  }

  async function check(home: string, devices: MemoryDevice[]): Promise<void> {
    const fresh = await scratch.open(devices, { home });
    const report = await fresh.pull({ remote: "/tree", to: scratch.path("back") });
    assert.deepEqual(report.problems, []);
    assertSameTree(scratch.path("back"), source);
    rmSync(scratch.path("back"), { recursive: true });
  }

  for (const how of ["before the call", "in the middle of an upload", "with the answer lost"] as const) {
    it(`go on after a kill at every call: ${how}`, async function () {
      this.timeout(240_000);
      const calls = await countCalls();
      assert.ok(calls > 8);
      for (let killAt = 1; killAt <= calls; killAt++) {
        const home = scratch.path(`home-${String(killAt)}`);
        cpSync(scratch.home, home, { recursive: true });
        const device = new MemoryDevice({ preferredBlobBytes: MIB });
        device.beforeCall = (verb) => {
          if (device.calls < killAt) return undefined;
          // From here on nothing is reached any more.
          if (device.calls > killAt || how === "before the call") throw lost();
          if (verb === "put") return { putBytes: how === "with the answer lost" ? 2 ** 40 : 400_000 };
          if (verb === "logAppend" && how === "with the answer lost") return { putBytes: 0 };
          throw lost();
        };
        await assert.rejects(attempt(home, [device]), Refusal, `call ${String(killAt)}`);
        await checkNothingHalfVisible(device, scratch.path(`seen-${String(killAt)}`));
        const before = device.putBytes;
        const hadBlobs = device.blobs.size;
        const report = await attempt(home, [device]);
        const sent = device.putBytes - before;
        const whole = [...device.blobs.values()].reduce((sum, blob) => sum + blob.length, 0);
        assert.ok(
          sent + before <= whole + 4096,
          `call ${String(killAt)}: ${String(sent + before)} sent for ${String(whole)} stored`,
        );
        if (hadBlobs >= 5)
          assert.ok(
            report.hashedBytes < 6 * MIB,
            `call ${String(killAt)}: hashed ${String(report.hashedBytes)} again`,
          );
        await check(scratch.path(`fresh-${String(killAt)}`), [device]);
        assert.deepEqual(
          readdirSync(`${home}/repository`).filter((name) => name.startsWith("journal")),
          [],
        );
        rmSync(home, { recursive: true });
      }
    });
  }

  it("send and hash only what was not stored", async () => {
    const device = new MemoryDevice({ preferredBlobBytes: MIB });
    let puts = 0;
    device.beforeCall = (verb) => {
      if (verb === "put" && ++puts > 4) throw lost();
      return undefined;
    };
    await assert.rejects(attempt(scratch.home, [device]));
    device.beforeCall = undefined;
    const stored = device.usedBytes;
    const report = await attempt(scratch.home, [device]);
    assert.ok(report.hashedBytes <= report.bytes - stored + 50_000, `hashed ${String(report.hashedBytes)}`);
    assert.ok(report.sentBytes <= report.bytes - stored + 50_000, `sent ${String(report.sentBytes)}`);
    await check(scratch.path("fresh"), [device]);
  });

  it("build interrupted packs again bit for bit", async () => {
    const one = new MemoryDevice({ preferredBlobBytes: MIB });
    cpSync(scratch.home, scratch.path("copy"), { recursive: true });
    await attempt(scratch.path("copy"), [one]);
    const two = new MemoryDevice({ preferredBlobBytes: MIB });
    two.beforeCall = (verb) => (verb === "put" ? { putBytes: 300_000 } : undefined);
    await assert.rejects(attempt(scratch.home, [two]));
    const partial = new Set(two.partial.keys());
    assert.ok(partial.size > 0);
    two.beforeCall = undefined;
    await attempt(scratch.home, [two]);
    for (const id of partial)
      assert.ok(two.blobs.has(id), "the upload that was interrupted is the one that was completed");
    assert.deepEqual([...two.blobs.keys()].sort(), [...one.blobs.keys()].sort());
  });

  it("come through when a file changed meanwhile", async () => {
    const device = new MemoryDevice({ preferredBlobBytes: MIB });
    device.beforeCall = (verb) => (verb === "put" ? { putBytes: 300_000 } : undefined);
    await assert.rejects(attempt(scratch.home, [device]));
    device.beforeCall = undefined;
    const file = `${source}/big`;
    const bytes = readFileSync(file);
    bytes.fill(7, 2_000_000, 2_000_100);
    writeFileSync(file, bytes);
    await attempt(scratch.home, [device]);
    await check(scratch.path("fresh"), [device]);
  });

  it("come through when the journal is torn or was written over", async () => {
    for (const damage of ["torn", "garbage", "bits"] as const) {
      const home = scratch.path(`home-${damage}`);
      cpSync(scratch.home, home, { recursive: true });
      const device = new MemoryDevice({ preferredBlobBytes: MIB });
      let puts = 0;
      device.beforeCall = (verb) => {
        if (verb === "put" && ++puts > 4) throw lost();
        return undefined;
      };
      await assert.rejects(attempt(home, [device]));
      device.beforeCall = undefined;
      for (const name of readdirSync(`${home}/repository`).filter((file) => file.startsWith("journal"))) {
        const path = `${home}/repository/${name}`;
        const bytes = readFileSync(path);
        if (damage === "torn") writeFileSync(path, bytes.subarray(0, Math.floor(bytes.length * 0.7)));
        else if (damage === "garbage") appendFileSync(path, noise(5, 1000));
        else {
          bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 1;
          writeFileSync(path, bytes);
        }
      }
      await attempt(home, [device]);
      await check(scratch.path(`fresh-${damage}`), [device]);
    }
  });

  it("read a file from its start whose journal is wrong about a chunk of it", async () => {
    const device = new MemoryDevice({ preferredBlobBytes: MIB });
    const journal = PushJournal.open(`${scratch.home}/repository`);
    const number = journal.file(fileKey(statLocal(toByteString(`${source}/big`))));
    journal.item(number, { lengthBytes: 65_536, id: undefined });
    journal.item(number, { lengthBytes: MIB, id: noise(6, 32) });
    journal.close();
    const { problems, bytes, hashedBytes } = await attempt(scratch.home, [device]);
    assert.deepEqual(problems, []);
    assert.equal(hashedBytes, bytes);
    await check(scratch.path("fresh"), [device]);
  });

  it("reach a second device that was lost in between", async function () {
    this.timeout(120_000);
    for (let killAt = 1; killAt <= 12; killAt++) {
      const home = scratch.path(`home-${String(killAt)}`);
      cpSync(scratch.home, home, { recursive: true });
      const devices = [
        new MemoryDevice({ name: "one", preferredBlobBytes: MIB }),
        new MemoryDevice({ name: "two", preferredBlobBytes: MIB }),
      ];
      const second = devices[1] as MemoryDevice;
      second.beforeCall = () => {
        if (second.calls >= killAt) throw lost();
        return undefined;
      };
      await assert.rejects(attempt(home, devices));
      second.beforeCall = undefined;
      await attempt(home, devices);
      for (const device of devices)
        await check(scratch.path(`fresh-${String(killAt)}-${device.name}`), [device]);
      assert.deepEqual(
        [...second.blobs.keys()].sort(),
        [...(devices[0] as MemoryDevice).blobs.keys()].sort(),
      );
    }
  });

  it("survive two pushes of this computer at once", async () => {
    const device = new MemoryDevice({ preferredBlobBytes: MIB });
    scratch.write("other/file", "other");
    const repositories = await Promise.all([
      scratch.open([device]),
      scratch.open([device]),
      scratch.open([device]),
    ]);
    await Promise.all([
      repositories[0].push({ sources: [source], to: "/" }),
      repositories[1].push({ sources: [scratch.path("other")], to: "/" }),
      repositories[2].makeDirectory("/made"),
    ]);
    const fresh = await scratch.open([device], { home: scratch.path("fresh") });
    assert.deepEqual(
      (await fresh.list("/")).map((node) => node.name),
      ["made", "other", "tree"],
    );
    assert.equal((await fresh.usage()).entries, 3);
  });

  /** Whoever comes with the passphrase only sees nothing, or the whole tree. */
  async function checkNothingHalfVisible(device: MemoryDevice, home: string): Promise<void> {
    device.beforeCall = undefined;
    if (device.logs.size === 0) return;
    const fresh = await scratch.open([device], { home });
    if ((await fresh.list("/")).length > 0) await check(home, [device]);
  }
});
