// SPDX-License-Identifier: MIT
/** Damage of every kind, done to devices by hand: found, told with the files that it touches, and repaired. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Repository } from "../repository";
import { MemoryDevice } from "../testing/memory-device";
import { Scratch, assertSameTree, noise, QUICK_SECRET } from "../testing/scratch";
import { copyDevice } from "../testing/writers";

const MIB = 1024 * 1024;

describe("verify and repair", () => {
  let scratch: Scratch;
  let attic: MemoryDevice;
  let cellar: MemoryDevice;
  let tree: string;

  beforeEach(async () => {
    scratch = new Scratch(QUICK_SECRET);
    attic = new MemoryDevice({ name: "attic", preferredBlobBytes: MIB });
    cellar = new MemoryDevice({ name: "cellar", preferredBlobBytes: MIB });
    await scratch.create();
    scratch.write("tree/large", noise(41, 5 * MIB));
    scratch.write("tree/sub/medium", noise(42, 700_000));
    for (let i = 0; i < 10; i++) scratch.write(`tree/small/${String(i)}`, noise(200 + i, 3000));
    tree = scratch.path("tree");
  });
  afterEach(async () => {
    await scratch.remove();
  });

  async function pushed(devices: MemoryDevice[], home?: string): Promise<Repository> {
    const repository = await scratch.open(devices, home === undefined ? {} : { home });
    await repository.push({ sources: [tree], to: "/" });
    return repository;
  }

  async function assertIdentical(devices: MemoryDevice[]): Promise<void> {
    const fresh = await scratch.open(devices, { home: scratch.path(`fresh-${String(newcomers++)}`) });
    const report = await fresh.pull({ remote: "/tree", to: scratch.path("back") });
    assert.deepEqual(report.problems, []);
    assertSameTree(scratch.path("back"), tree);
    rmSync(scratch.path("back"), { recursive: true });
    await fresh.close();
  }
  let newcomers = 0;

  /** Clean by structure, by every byte, and to a computer that knows nothing yet. */
  async function assertWhole(devices: MemoryDevice[]): Promise<void> {
    for (const home of [scratch.home, scratch.path(`fresh-${String(newcomers++)}`)]) {
      const repository = await scratch.open(devices, { home });
      for (const readPercent of [0, 100]) {
        const report = await repository.verify({ readPercent });
        assert.equal(report.isWhole, true, JSON.stringify(report.damage, null, 1));
      }
      await repository.close();
    }
    await assertIdentical(devices);
  }

  function largest(device: MemoryDevice): string {
    return [...device.blobs].sort(([, a], [, b]) => b.length - a.length)[0]?.[0] ?? "";
  }

  /** The pack of folders: the smallest. */
  function treePack(device: MemoryDevice): string {
    return (
      [...device.blobs].find(([, blob]) => blob[5] === 1 && blob.toString("latin1", 0, 4) === "CFPK")?.[0] ??
      ""
    );
  }

  function flip(device: MemoryDevice, key: string, at = 1000): void {
    const blob = Buffer.from(device.blobs.get(key) ?? []);
    blob[at] = (blob[at] ?? 0) ^ 1;
    device.blobs.set(key, blob);
  }

  it("find nothing on a whole repository, and download nothing but folders", async () => {
    await (await pushed([attic])).close();
    const repository = await scratch.open([attic], { home: scratch.path("fresh") });
    attic.getBytes = 0;
    const report = await repository.verify();
    assert.equal(report.isWhole, true);
    const trees = attic.blobs.get(treePack(attic))?.length ?? 0;
    assert.ok(attic.getBytes <= trees, `${String(attic.getBytes)} of ${String(trees)}`);
    assert.deepEqual([report.files, report.folders, report.versions], [12, 4, 1]);
    assert.equal(report.devices[0]?.unreferenced, 0);
    attic.getBytes = 0;
    await repository.verify();
    assert.equal(attic.getBytes, 0);
    const repair = await repository.repair();
    assert.deepEqual([repair.isWhole, repair.isChanged, attic.getBytes], [true, false, 0]);
  });

  it("find nothing on what two computers wrote apart and nobody has written on since", async () => {
    const one = await pushed([attic]);
    const elsewhere = new MemoryDevice({ name: "attic" });
    copyDevice(attic, elsewhere);
    const two = await scratch.open([elsewhere], { home: scratch.path("two") });
    await one.makeDirectory("/tree/one");
    await two.makeDirectory("/tree/two");
    copyDevice(elsewhere, attic);
    for (const isDamaged of [false, true]) {
      if (isDamaged) attic.blobs.delete(largest(attic));
      const reader = await scratch.open([attic], { home: scratch.path(`reader-${String(isDamaged)}`) });
      const { damage, isWhole } = await reader.verify({ readPercent: 100 });
      assert.deepEqual([isWhole, damage.unknownChunks], [!isDamaged, 0]);
      assert.ok(damage.files.every(({ type }) => type === "file"));
      assert.equal((await reader.repair()).isWhole, !isDamaged);
    }
  });

  it("find a flipped bit only by reading, name the file, and take the pack from the other device", async () => {
    const repository = await pushed([attic, cellar]);
    const pack = largest(attic);
    flip(attic, pack);
    assert.equal((await repository.verify()).isWhole, true);
    const report = await repository.verify({ readPercent: 100 });
    assert.equal(report.isWhole, false);
    assert.equal(report.damage.packs.length, 1);
    assert.deepEqual(
      [report.damage.packs[0]?.device, report.damage.packs[0]?.pack, report.damage.packs[0]?.kind],
      ["attic", pack, "damaged"],
    );
    assert.equal(report.damage.packs[0]?.damagedChunks, 1);
    assert.deepEqual(
      report.damage.files.map(({ path, state, isCurrent }) => [path, state, isCurrent]),
      [["/tree/large", "reduced", true]],
    );
    // It is remembered: neither needs to read everything again.
    assert.equal((await repository.verify()).isWhole, false);
    const dry = await repository.repair({ isDryRun: true });
    assert.deepEqual([dry.copiedPacks, dry.isWhole, dry.isChanged], [1, true, false]);
    assert.equal((await repository.verify()).isWhole, false, "a dry run changes nothing");
    const repair = await repository.repair();
    assert.deepEqual([repair.damagedPacks, repair.copiedPacks, repair.isWhole], [1, 1, true]);
    assert.deepEqual(attic.blobs.get(pack), cellar.blobs.get(pack));
    const again = await repository.repair({ readPercent: 100 });
    assert.deepEqual([again.damagedPacks, again.isChanged], [0, false]);
    await repository.close();
    await assertWhole([attic, cellar]);
    await assertWhole([attic]);
  });

  it("find a deleted pack by structure alone, and make it again from local files", async () => {
    const repository = await pushed([attic]);
    const pack = largest(attic);
    attic.blobs.delete(pack);
    const report = await repository.verify();
    assert.equal(report.damage.packs[0]?.kind, "missing");
    assert.deepEqual(
      report.damage.files.map(({ path, state }) => [path, state]).filter(([path]) => path === "/tree/large"),
      [["/tree/large", "lost"]],
    );
    const hopeless = await repository.repair();
    assert.equal(hopeless.isWhole, false);
    assert.ok(hopeless.lostChunks > 0);
    assert.ok(hopeless.remaining.files.some(({ path }) => path === "/tree/large"));
    const still = await repository.verify();
    assert.equal(still.isWhole, false, "what is lost stays reported");
    assert.deepEqual([still.versions, still.entries], [1, 2], "what was given up is no version");
    const dry = await repository.repair({ paths: [tree], isDryRun: true });
    assert.deepEqual([dry.isWhole, dry.isChanged, dry.lostChunks], [true, false, 0]);
    const repair = await repository.repair({ paths: [tree] });
    assert.equal(repair.isWhole, true);
    assert.equal(repair.remadeChunks, hopeless.lostChunks);
    const again = await repository.repair({ paths: [tree] });
    assert.deepEqual([again.isChanged, again.remadeChunks], [false, 0]);
    await repository.close();
    await assertWhole([attic]);
  });

  it("leave what local files do not have any more, and tell which files of which versions", async () => {
    const repository = await pushed([attic]);
    scratch.write("tree/small/3", "another version");
    await repository.push({ sources: [tree], to: "/" });
    for (const [key, blob] of [...attic.blobs]) if (blob[5] === 0) attic.blobs.delete(key);
    const repair = await repository.repair({ paths: [tree] });
    assert.equal(repair.isWhole, false);
    assert.equal(repair.lostChunks, 1);
    assert.deepEqual(
      repair.remaining.files.map(({ path, isCurrent, versions }) => [path, isCurrent, versions]),
      [["/tree/small/3", false, 1]],
    );
    assert.deepEqual(
      repair.remaining.versions.map(({ files }) => files),
      [1],
    );
    await repository.close();
    await assertIdentical([attic]);
  });

  it("rebuild what one damaged pack still has in a pack of its own, when nobody else has it", async () => {
    const repository = await pushed([attic]);
    // Two bytes that mean nothing, and its own index: every chunk is good, and yet the blob is not what it was.
    for (const fromEnd of [false, true]) {
      const pack = largest(attic);
      const size = attic.blobs.get(pack)?.length ?? 0;
      flip(attic, pack, fromEnd ? size - 20 : 6);
      const report = await repository.verify({ readPercent: 100 });
      assert.deepEqual([report.damage.packs.length, report.damage.packs[0]?.damagedChunks], [1, 0]);
      assert.deepEqual(report.damage.files, []);
      const repair = await repository.repair();
      assert.equal(repair.isWhole, true);
      assert.ok(repair.rebuiltChunks > 0);
    }
    await repository.close();
    await assertWhole([attic]);
  });

  it("notice a shortened and two swapped blobs", async () => {
    const repository = await pushed([attic, cellar]);
    const packs = [...attic.blobs.keys()].filter((key) => attic.blobs.get(key)?.[5] === 0);
    const [one, two, three] = packs as [string, string, string];
    const blob = attic.blobs.get(one) ?? Buffer.alloc(0);
    attic.blobs.set(one, blob.subarray(0, blob.length - 1));
    const [second, third] = [attic.blobs.get(two), attic.blobs.get(three)];
    assert.ok(second && third);
    attic.blobs.set(two, third);
    attic.blobs.set(three, second);
    const report = await repository.verify({ readPercent: 100 });
    assert.deepEqual(
      report.damage.packs.map(({ pack, kind }) => [pack, kind === "shortened"]).sort(),
      [
        [one, true],
        [two, second.length > third.length],
        [three, third.length > second.length],
      ].sort(),
    );
    assert.equal((await repository.repair()).isWhole, true);
    await repository.close();
    await assertWhole([attic, cellar]);
    await assertWhole([attic]);
  });

  it("bring back a pack of folders from this computer's cache", async () => {
    const repository = await pushed([attic]);
    for (const damage of ["flip", "delete"] as const) {
      const pack = treePack(attic);
      if (damage === "flip") flip(attic, pack, 100);
      else attic.blobs.delete(pack);
      assert.equal((await repository.verify({ readPercent: 100 })).isWhole, false);
      const repair = await repository.repair();
      assert.equal(repair.isWhole, true, JSON.stringify(repair));
      assert.ok(repair.rebuiltChunks > 0);
    }
    await repository.close();
    await assertWhole([attic]);
  });

  it("tell a newcomer which folders cannot be read, and make them again from local files", async () => {
    await (await pushed([attic])).close();
    for (const key of [...attic.blobs.keys()]) attic.blobs.delete(key);
    const repository = await scratch.open([attic], { home: scratch.path("fresh") });
    const report = await repository.verify();
    assert.equal(report.isWhole, false);
    assert.ok(report.damage.files.some(({ type, state }) => type === "directory" && state === "lost"));
    const first = await repository.repair({ paths: [tree] });
    // The root is in no local folder: it is the repository's own.
    assert.deepEqual(
      first.remaining.files.map(({ path }) => path),
      ["/"],
    );
    await repository.close();
    const owner = await scratch.open([attic]);
    assert.equal((await owner.repair({ paths: [tree] })).isWhole, true);
    await owner.close();
    await assertWhole([attic]);
  });

  it("read what is asked for by chance, at least one pack, and say how much", async () => {
    const repository = await pushed([attic]);
    const one = await repository.verify({ readPercent: 0.1 });
    assert.equal(one.devices[0]?.readPacks, 1);
    const half = await repository.verify({ readPercent: 50 });
    const packs = half.devices[0]?.packs ?? 0;
    assert.equal(half.devices[0]?.readPacks, Math.ceil(packs / 2));
    assert.equal(half.devices.length, 1);
    for (const { readBytes, packBytes } of half.devices) assert.ok(readBytes < packBytes);
    // Sooner or later everybody's turn comes.
    flip(attic, largest(attic));
    let rounds = 0;
    while ((await repository.verify({ readPercent: 30 })).isWhole) assert.ok(++rounds < 500);
  });

  it("count blobs that nothing refers to, without calling them damage", async () => {
    const repository = await pushed([attic]);
    attic.blobs.set("ab".repeat(32), Buffer.from("left over"));
    const report = await repository.verify({ readPercent: 100 });
    assert.equal(report.isWhole, true);
    assert.deepEqual(
      [report.devices[0]?.unreferenced, report.devices[0]?.unreferencedBytes],
      [1, "left over".length],
    );
  });

  it("check index blobs, and restore them from this computer or another device", async () => {
    for (let i = 0; i < 60; i++) scratch.write(`tree/many/${String(i)}`, noise(1000 + i, 70_000));
    const repository = await pushed([attic, cellar]);
    const indexBlob =
      [...attic.blobs].find(([, blob]) => blob.toString("latin1", 0, 4) === "CFIX")?.[0] ?? "";
    assert.notEqual(indexBlob, "");
    flip(attic, indexBlob, 40);
    cellar.blobs.delete(indexBlob);
    const report = await repository.verify({ readPercent: 100 });
    assert.deepEqual(report.damage.indexBlobs.map(({ device, kind }) => [device, kind]).sort(), [
      ["attic", "damaged"],
      ["cellar", "missing"],
    ]);
    const repair = await repository.repair();
    assert.deepEqual([repair.isWhole, repair.restoredIndexBlobs], [true, 2]);
    await repository.close();
    await assertWhole([attic, cellar]);
    attic.blobs.delete(indexBlob);
    const other = await scratch.open([attic, cellar], { home: scratch.path("other") });
    assert.equal((await other.repair()).restoredIndexBlobs, 1);
    await other.close();
    await assertWhole([attic]);
  });

  it("do without an index blob that nobody has, once all that is needed was made again", async () => {
    for (let i = 0; i < 60; i++) scratch.write(`tree/many/${String(i)}`, noise(1000 + i, 70_000));
    await (await pushed([attic])).close();
    const indexBlob =
      [...attic.blobs].find(([, blob]) => blob.toString("latin1", 0, 4) === "CFIX")?.[0] ?? "";
    attic.blobs.delete(indexBlob);
    // The folders are in this computer's cache; which pack they are in is known to nobody.
    rmSync(scratch.path("home/repository/cache/index"), { recursive: true });
    const repository = await scratch.open([attic]);
    const report = await repository.verify();
    assert.ok(report.damage.unknownChunks > 60);
    assert.ok(report.damage.files.some(({ path, state }) => path === "/tree/large" && state === "lost"));
    const repair = await repository.repair({ paths: [tree] });
    assert.equal(repair.isWhole, true, JSON.stringify(repair));
    await repository.close();
    await assertWhole([attic]);
  });

  it("report a log that was changed in its middle after it was read", async () => {
    const repository = await pushed([attic]);
    await repository.makeDirectory("/another");
    await repository.makeDirectory("/third");
    const log = [...attic.logs.values()].find(({ entries }) => entries.length === 3);
    assert.ok(log);
    const bad = Uint8Array.from(log.entries[1] ?? []);
    bad[30] = (bad[30] ?? 0) ^ 1;
    const logList = attic.logList.bind(attic);
    const honest = await logList();
    // It shows the right head, as a card does whose heads are whole and one of whose older sectors is not.
    attic.logList = () => Promise.resolve(honest);
    log.entries[1] = bad;
    const report = await repository.verify();
    assert.equal(report.isWhole, false);
    assert.deepEqual([report.damage.logs.length, report.damage.logs[0]?.device], [1, "attic"]);
    assert.match(report.damage.logs[0]?.text ?? "", /entry 1 is not what it was/);
    attic.logList = logList;
    await assert.rejects(repository.verify(), { kind: "logTampered" });
  });

  it("give the pack of one device up for all computers, until somebody stores it again", async () => {
    await (await pushed([attic, cellar])).close();
    const pack = largest(attic);
    attic.blobs.delete(pack);
    const alone = await scratch.open([attic]);
    const repair = await alone.repair();
    assert.equal(repair.isWhole, true, "cellar still has it");
    assert.ok(repair.elsewhereChunks > 0);
    const unchecked = await alone.verify();
    assert.equal(unchecked.isWhole, true);
    assert.equal(unchecked.uncheckedChunks, repair.elsewhereChunks);
    await alone.close();
    // Another computer, with both: the copies are to be two again.
    const both = await scratch.open([attic, cellar], { home: scratch.path("other") });
    const back = await both.repair();
    assert.deepEqual([back.copiedPacks, back.isChanged], [1, true]);
    assert.ok(attic.blobs.has(pack));
    assert.deepEqual((await both.repair()).copiedPacks, 0);
    await both.close();
    await assertWhole([attic]);
    await assertWhole([cellar]);
  });

  it("a push after a loss stores the pack anew, also where the damaged blob is still there", async () => {
    const repository = await pushed([attic]);
    const before = new Map(attic.blobs);
    for (const [key, blob] of before) if (blob[5] === 0) flip(attic, key);
    await repository.verify({ readPercent: 100 });
    assert.equal((await repository.repair()).isWhole, false);
    await repository.push({ sources: [tree], to: "/", force: true });
    await repository.close();
    await assertWhole([attic]);
  });

  it("takes no harm from a damaged memory of what was found", async () => {
    const repository = await pushed([attic]);
    flip(attic, largest(attic));
    await repository.verify({ readPercent: 100 });
    const path = scratch.path("home/repository/damage.json");
    assert.ok(readFileSync(path, "utf8").includes(largest(attic)));
    writeFileSync(path, "{");
    assert.equal((await repository.repair({ paths: [tree], readPercent: 100 })).isWhole, true);
    await repository.close();
    await assertWhole([attic]);
  });
});
