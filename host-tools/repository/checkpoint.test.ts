// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cpSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Refusal } from "../refusal";
import type { Repository } from "./repository";
import { MemoryDevice } from "./testing/memory-device";
import { Scratch, QUICK_SECRET } from "./testing/scratch";
import { Writer, copyDevice } from "./testing/writers";

/** A checkpoint after so many entries, and with several writers at once, too. */
const EAGER = { checkpointEntries: 8, checkpointAgeMs: -1000 };

describe("checkpoints", () => {
  let scratch: Scratch;
  let device: MemoryDevice;
  let homes: number;

  beforeEach(async () => {
    scratch = new Scratch(QUICK_SECRET);
    device = new MemoryDevice();
    homes = 0;
    await scratch.create();
  });
  afterEach(async () => {
    await scratch.remove();
  });

  const open = (options: Parameters<Scratch["open"]>[1] = {}, devices = [device]): Promise<Repository> =>
    scratch.open(devices, { ...EAGER, ...options });

  /** A computer that has nothing but the passphrase. */
  const newcomer = (devices = [device]): Promise<Repository> =>
    open({ home: scratch.path(`newcomer-${String(homes++)}`), computer: "newcomer" }, devices);

  async function push(repository: Repository, name: string, content = name): Promise<void> {
    await repository.push({ sources: [scratch.write(`source/${name}`, content)], to: "/" });
  }

  /** Everything that people see of a repository. */
  async function seen(repository: Repository): Promise<unknown> {
    const nodes: unknown[] = [];
    for await (const node of repository.walk("/")) nodes.push({ ...node, mtimeNs: String(node.mtimeNs) });
    const versions: unknown[] = [];
    for await (const version of repository.versions.log()) versions.push(version);
    const { chunks: _, packs: __, packBytes: ___, entries: ____, ...usage } = await repository.usage();
    return { nodes, versions, tags: await repository.versions.tags(), usage };
  }

  async function assertWhole(repository: Repository): Promise<void> {
    const report = await repository.verify({ readPercent: 100 });
    assert.deepEqual(report.damage.logs, []);
    assert.ok(report.isWhole, JSON.stringify(report.damage));
  }

  /** Sequences of the first entries that the device has left of its logs. */
  const firsts = (of = device): number[] => [...of.logs.values()].map(({ first }) => first ?? 0);

  const copyOf = (of: MemoryDevice): MemoryDevice => {
    const copy = new MemoryDevice({ name: of.name });
    copyDevice(of, copy);
    return copy;
  };

  /** As the device keeps it, in the order of writing. */
  function checkpointLog(of = device): { id: Uint8Array; entries: Uint8Array[] } {
    // The key log is there before, the writer's log, too.
    const log = [...of.logs.values()][2];
    assert.ok(log);
    return log;
  }

  it("stands for the older entries: a newcomer sees the same, from far fewer", async () => {
    const repository = await open();
    for (let i = 0; i < 5; i++) await push(repository, `file-${String(i)}`);
    await repository.versions.tag("first");
    await repository.move("/file-0", "/moved");
    await repository.remove("/file-1");
    const whole = copyOf(device);
    await push(repository, "last");
    copyDevice(device, whole);
    assert.ok(Math.max(...firsts()) > 5, `trimmed up to ${String(Math.max(...firsts()))}`);
    const other = await newcomer();
    assert.deepEqual(await seen(other), await seen(repository));
    await assertWhole(other);
    await other.pull({ remote: "/file-0", at: "first", to: scratch.path("back") });
    assert.equal(readFileSync(scratch.path("back"), "utf8"), "file-0");
    await push(other, "by the newcomer");
    await repository.refresh();
    assert.deepEqual(await seen(repository), await seen(other));
    assert.deepEqual(scratch.warnings, []);
  });

  it("bounds the round trips of opening, however long the history is", async () => {
    const calls: number[] = [];
    const repository = await open();
    for (const length of [20, 60]) {
      while ((await versionsOf(repository)) < length) await push(repository, randomBytes(4).toString("hex"));
      device.calls = 0;
      const other = await newcomer();
      calls.push(device.calls);
      await other.close();
    }
    assert.ok(Math.max(...calls) <= 32, `${calls.join(", ")} round trips`);
  });

  async function versionsOf(repository: Repository): Promise<number> {
    let count = 0;
    for await (const _ of repository.versions.log()) count++;
    return count;
  }

  it("is taken up by a computer that has all entries, at its next start", async () => {
    const repository = await open();
    for (let i = 0; i < 12; i++) await push(repository, `file-${String(i)}`);
    const before = await seen(repository);
    await repository.close();
    const [log] = [...device.logs.values()].filter(({ first }) => (first ?? 0) > 0);
    assert.ok(log);
    const path = scratch.path(
      `home/repository/logs/${Buffer.from(log.id.subarray(0, 16)).toString("hex")}.log`,
    );
    const bytesBefore = statSync(path).size;
    const again = await open();
    assert.deepEqual(await seen(again), before);
    assert.ok(statSync(path).size < bytesBefore / 2, "its own copy is cut, too");
    await push(again, "more");
    await again.close();
    const third = await open();
    assert.ok(JSON.stringify(await seen(third)).includes("/more"));
    await assertWhole(third);
  });

  it("serves a computer that was away, and what it writes is merged", async () => {
    const one = await open({ computer: "one" });
    await push(one, "start");
    const home = scratch.path("two");
    const two = await open({ home, computer: "two" });
    await push(two, "of two");
    await two.close();
    await one.refresh();
    for (let i = 0; i < 20; i++) await push(one, `file-${String(i)}`);
    assert.ok(firsts().some((first) => first > 1));
    const back = await open({ home, computer: "two" });
    assert.deepEqual(await seen(back), await seen(one));
    await push(back, "of two again");
    await one.refresh();
    const state = await seen(one);
    assert.deepEqual(await seen(back), state);
    await back.close();
    assert.deepEqual(await seen(await open({ home, computer: "two" })), state);
    assert.ok(!scratch.warnings.some((text) => /damaged/.test(text)), scratch.warnings.join("; "));
    await assertWhole(await newcomer());
  });

  it("keeps what a computer that was away has written and no device has yet", async () => {
    const one = await open({ computer: "one" });
    await push(one, "start");
    const home = scratch.path("two");
    const two = await open({ home, computer: "two" });
    await push(two, "of two");
    await one.refresh();
    for (let i = 0; i < 20; i++) await push(one, `file-${String(i)}`);
    // The entry is durable here, and then the connection breaks.
    device.beforeCall = (verb) => {
      if (verb === "logAppend") throw new Refusal("connectionLost", "the connection broke");
      return undefined;
    };
    await assert.rejects(push(two, "not yet there"), { kind: "connectionLost" });
    device.beforeCall = undefined;
    await two.close();
    const back = await open({ home, computer: "two" });
    await push(back, "after it");
    await one.refresh();
    const names = (await one.list("/")).map(({ name }) => name);
    assert.ok(names.includes("not yet there") && names.includes("after it"), names.join(", "));
  });

  it("goes to a new device with the logs, which go on from there", async () => {
    const repository = await open();
    for (let i = 0; i < 12; i++) await push(repository, `file-${String(i)}`);
    const other = await newcomer();
    const second = new MemoryDevice({ name: "second" });
    await other.close();
    const both = await open({ home: scratch.path("newcomer-0"), computer: "newcomer" }, [device, second]);
    await push(both, "on both");
    assert.ok(
      firsts(second).some((first) => first > 0),
      "nothing older is there",
    );
    const third = await newcomer([second]);
    assert.equal((await third.list("/")).length, 13);
    await third.pull({ remote: "/on both", to: scratch.path("back") });
    // whoever has seen the other device finds everything in agreement
    await repository.close();
    await open({}, [device, second]);
  });

  it("brings a device up to date that lacks more than is known", async () => {
    const second = new MemoryDevice({ name: "second" });
    const repository = await open({}, [device, second]);
    await push(repository, "on both");
    await repository.close();
    const alone = await open({});
    for (let i = 0; i < 12; i++) await push(alone, `file-${String(i)}`);
    const other = await newcomer([device]);
    await other.close();
    const both = await open({ home: scratch.path("newcomer-0"), computer: "newcomer" }, [device, second]);
    await push(both, "again on both");
    assert.ok(firsts(second).some((first) => first > 0));
    await alone.close();
    const again = await open({}, [second]);
    assert.equal((await again.list("/")).length, 14);
  });

  it("forgets what was forgotten, and prune frees index blobs of older entries", async () => {
    const repository = await open();
    for (let i = 0; i < 10; i++) {
      // with more chunks than fit in an entry
      const folder = scratch.path("many");
      for (let file = 0; file < 60; file++)
        scratch.write(`many/${String(file)}`, `${String(i)} ${String(file)} ${"x".repeat(100)}`);
      await repository.push({ sources: [folder], to: "/" });
    }
    await repository.versions.tag("kept", "latest");
    await repository.versions.forget({ policy: { last: 2 } });
    await repository.close();
    const again = await open();
    await again.prune({ maxUnused: 0 });
    await push(again, "so that there is something after it");
    const other = await newcomer();
    assert.deepEqual(await seen(other), await seen(again));
    assert.equal(await versionsOf(other), 3);
    await assertWhole(other);
    const copies = readdirSync(scratch.path("home/repository/cache/index"));
    assert.ok(copies.length <= 4, "of index blobs that nobody names there is no copy, either");
    const dry = await other.prune({ isDryRun: true, maxUnused: 0 });
    assert.deepEqual([dry.unreferencedBlobs, dry.deadPacks], [0, 0]);
    for await (const { id } of other.versions.log()) {
      const { problems } = await other.pull({ remote: "/", at: id, to: scratch.path(id) });
      assert.deepEqual(problems, []);
    }
  });

  it("leaves nothing behind that nobody names, once the next one is there and prune went through", async () => {
    const second = new MemoryDevice({ name: "second" });
    const devices = [device, second];
    const parts = (of: MemoryDevice): string[] =>
      [...of.blobs].flatMap(([id, blob]) => (blob.toString("latin1", 0, 4) === "CFCP" ? [id] : []));
    // An index blob counts as much as eight entries.
    const repository = await open({ checkpointEntries: 64 }, devices);
    for (let i = 0; i < 18; i++) {
      // with more chunks than fit in an entry
      for (let file = 0; file < 80; file++)
        scratch.write(`many/${String(file)}`, `${String(i)} ${String(file)} ${"x".repeat(100)}`);
      await repository.push({ sources: [scratch.path("many")], to: "/" });
    }
    assert.equal(checkpointLog().entries.length, 2);
    assert.equal(parts(device).length, 2);
    await repository.close();
    // the newest counts from the next start on
    const again = await open({ checkpointEntries: 1000 }, devices);
    const before = await again.verify();
    assert.ok(before.devices.every(({ unreferenced }) => unreferenced > 0));
    await again.prune({ maxUnused: 0, holdMs: 0 });
    for (const repository of [again, await newcomer(devices)]) {
      const { isWhole, devices: examined } = await repository.verify({ readPercent: 100 });
      assert.ok(isWhole);
      assert.deepEqual(
        examined.map(({ unreferenced }) => unreferenced),
        [0, 0],
      );
    }
    for (const of of devices) assert.equal(parts(of).length, 1);
  });

  it("does not need what a version said that was forgotten and pruned since", async () => {
    const repository = await open();
    await push(repository, "small");
    // More than fits in an entry.
    const names = Array.from({ length: 16 }, (_, at) => `${String(at)}${"n".repeat(200)}`);
    await repository.makeDirectory(`/${names.join("/")}`, { parents: true });
    const { id: doomed } = await repository.versions.find("latest");
    for (let i = 0; i < 12; i++) await push(repository, `file-${String(i)}`);
    const other = await newcomer();
    await other.remove(`/${names[0] ?? ""}`, { recursive: true });
    await push(other, "last");
    await other.versions.forget({ versions: [doomed] });
    await other.prune({ maxUnused: 0, holdMs: 0 });
    await other.close();
    const again = await newcomer();
    await again.versions.forget({ policy: { last: 1 } });
    await again.prune({ maxUnused: 0, holdMs: 0 });
    assert.deepEqual(scratch.warnings, []);
    await assertWhole(await newcomer());
  });

  it("remembers condemned packs, so that a prune of another computer goes on", async () => {
    const one = await open({ computer: "one" });
    await push(one, "doomed", "x".repeat(50_000));
    const two = await open({ home: scratch.path("two"), computer: "two" });
    await push(two, "other");
    await one.refresh();
    await one.remove("/doomed");
    await one.versions.forget({ policy: { last: 1 } });
    await two.refresh();
    await two.versions.forget({ policy: { last: 1 } });
    await one.refresh();
    const condemned = await one.prune({ maxUnused: 0 });
    assert.ok(condemned.deadPacks > 0 && condemned.freedBytes === 0);
    for (let i = 0; i < 10; i++) await push(one, `file-${String(i)}`);
    const other = await newcomer();
    const plan = await other.prune({ isDryRun: true });
    assert.ok(plan.condemnedPacks > 0);
    const done = await other.prune({ holdMs: 1 });
    assert.ok(done.freedBytes > 0);
    await assertWhole(await newcomer());
  });

  it("keeps edits of several writers merged as they were", async () => {
    const eager = { ...EAGER, checkpointEntries: 6 };
    const group = await Writer.group(scratch, ["one", "two", "three"], eager);
    const [one, two, three] = group as [Writer, Writer, Writer];
    for (let round = 0; round < 4; round++) {
      for (const writer of group) {
        await writer.write("/start/same", `${writer.name} ${String(round)}`);
        await writer.write(`/start/${writer.name}`, String(round));
      }
      for (const from of group) await one.learn(from);
      await one.write("/start/settled", String(round));
      for (const to of [two, three]) await to.learn(one);
    }
    const listing = await one.listing();
    assert.ok(listing.some((line) => line.includes("conflict from")));
    for (const writer of group) assert.deepEqual(await writer.listing(), listing);
    assert.ok(firsts(one.device).some((first) => first > 0));
    const late = await Writer.make(scratch, "late", one, eager);
    assert.deepEqual(await late.listing(), listing);
    await late.write("/start/late", "late");
    await two.write("/start/late", "two, without having seen it");
    await two.learn(late);
    await late.learn(two);
    assert.deepEqual(await late.listing(), await two.listing());
  });

  describe("of several writers, one of whom forgets a version that another tags", () => {
    const idsOf = async ({ repository }: Writer): Promise<string[]> => {
      const ids: string[] = [];
      for await (const { id } of repository.versions.log()) ids.push(id);
      return ids;
    };

    async function pair(ageMs: number): Promise<{ one: Writer; two: Writer; doomed: string }> {
      const options = { checkpointEntries: 6, checkpointAgeMs: ageMs };
      const [one, two] = (await Writer.group(scratch, ["one", "two"], options)) as [Writer, Writer];
      await one.write("/start/a", "1");
      const [doomed = ""] = await idsOf(one);
      for (const text of ["2", "3", "4"]) await one.write("/start/a", text);
      await two.learn(one);
      await two.write("/start/b", "b");
      await one.learn(two);
      await one.write("/start/a", "5");
      await two.learn(one);
      return { one, two, doomed };
    }

    it("says that the version goes with its tag", async () => {
      const { one, two, doomed } = await pair(-1000);
      await one.repository.versions.forget({ versions: [doomed] });
      await two.repository.versions.tag("held", doomed);
      await one.learn(two);
      for (let i = 0; i < 8; i++) await one.write("/start/c", String(i));
      const late = await Writer.make(scratch, "late", one);
      assert.ok((await idsOf(late)).includes(doomed));
      await late.repository.versions.untag("held");
      await one.learn(late);
      await two.learn(late);
      const kept = await idsOf(one);
      assert.ok(!kept.includes(doomed));
      for (const other of [two, late, await Writer.make(scratch, "later", one)])
        assert.deepEqual(await idsOf(other), kept);
    });

    it("leaves out no version that was forgotten after its cut", async () => {
      const now = Date.now;
      Date.now = () => now() - 7_200_000;
      const { one, two, doomed } = await pair(3_600_000).finally(() => (Date.now = now));
      await one.repository.versions.forget({ versions: [doomed] });
      assert.ok(firsts(one.device).some((first) => first > 0));
      await two.repository.versions.tag("held", doomed);
      await one.learn(two);
      const kept = await idsOf(one);
      assert.ok(kept.includes(doomed));
      const late = await Writer.make(scratch, "late", one);
      assert.deepEqual(await idsOf(late), kept);
      assert.deepEqual(
        [...(await late.repository.versions.tags())],
        [...(await one.repository.versions.tags())],
      );
    });

    it("lets the later of two tags of one name stay, also when the earlier one comes afterwards", async () => {
      const { one, two, doomed } = await pair(-1000);
      await two.repository.versions.tag("name", doomed);
      await one.write("/start/c", "more entries than the other one");
      await one.repository.versions.tag("name", "latest");
      for (let i = 0; i < 8; i++) await one.write("/start/c", String(i));
      assert.ok(firsts(one.device).some((first) => first > 0));
      const late = await Writer.make(scratch, "late", one);
      const tags = JSON.stringify(await one.repository.versions.tags());
      for (const writer of [one, late]) {
        await writer.learn(two);
        assert.equal(JSON.stringify(await writer.repository.versions.tags()), tags);
      }
    });
  });

  it("ends with an old enough entry when there are several writers", async () => {
    const options = { ...EAGER, checkpointAgeMs: 3_600_000 };
    const one = await open({ ...options, computer: "one" });
    await push(one, "start");
    const two = await open({ ...options, home: scratch.path("two"), computer: "two" });
    await push(two, "of two");
    await one.refresh();
    for (let i = 0; i < 20; i++) await push(one, `file-${String(i)}`);
    assert.ok(firsts().every((first) => first === 0));
  });

  it("is made anew under the word of who revokes its maker", async () => {
    const one = await open({ computer: "one" });
    await push(one, "start");
    const thief = await open({ home: scratch.path("thief"), computer: "thief" });
    for (let i = 0; i < 10; i++) await push(thief, `file-${String(i)}`);
    await one.refresh();
    assert.ok(firsts().some((first) => first > 0));
    await one.revokeWriter("thief");
    const other = await newcomer();
    assert.equal((await other.list("/")).length, 11);
    await push(other, "on");
    await one.refresh();
    assert.equal((await one.list("/")).length, 12);
  });

  it("comes through keys that are changed", async () => {
    const repository = await open();
    for (let i = 0; i < 5; i++) await push(repository, `file-${String(i)}`);
    await repository.keyAdministration.rotate();
    for (let i = 5; i < 12; i++) await push(repository, `file-${String(i)}`);
    await repository.keyAdministration.rotate();
    const other = await newcomer();
    assert.equal((await other.list("/")).length, 12);
    await assertWhole(other);
  });

  it("survives that the local copy is lost or damaged in any of its files", async () => {
    const repository = await open();
    for (let i = 0; i < 12; i++) await push(repository, `file-${String(i)}`);
    await repository.close();
    await (await open()).close();
    const folder = scratch.path("home/repository");
    const damages: (() => void)[] = [
      () => {
        rmSync(`${folder}/checkpoint`);
      },
      () => {
        writeFileSync(`${folder}/checkpoint`, randomBytes(300));
      },
      () => {
        rmSync(`${folder}/cache`, { recursive: true });
      },
      () => {
        rmSync(`${folder}/logs`, { recursive: true });
      },
      () => {
        rmSync(`${folder}/logs`, { recursive: true });
        rmSync(`${folder}/checkpoint`);
        rmSync(`${folder}/heads.json`);
      },
    ];
    for (const damage of damages) {
      damage();
      const again = await open();
      assert.equal((await again.list("/")).length, 12);
      await again.close();
    }
    await push(await open(), "goes on");
  });

  it("is made whole or not at all, wherever the connection breaks", async function () {
    this.timeout(60_000);
    const before = await open({ checkpointEntries: 1000 });
    for (let i = 0; i < 12; i++) await push(before, `file-${String(i)}`);
    await before.close();
    const start = copyOf(device);
    for (let call = 1; ; call++) {
      const home = scratch.path(`home-${String(call)}`);
      cpSync(scratch.home, home, { recursive: true });
      device = copyOf(start);
      const eager = await open({ home });
      let calls = 0;
      device.beforeCall = () => {
        calls++;
        if (calls >= call) throw new Refusal("connectionLost", "the connection broke");
        return undefined;
      };
      const isDone = await push(eager, "last").then(
        () => true,
        () => false,
      );
      device.beforeCall = undefined;
      await eager.close();
      const other = await newcomer();
      const files = (await other.list("/")).length;
      assert.ok(files === 13 || (!isDone && files === 12), `call ${String(call)}: ${String(files)} files`);
      await assertWhole(other);
      await other.close();
      const again = await open({ home });
      await push(again, "last");
      assert.equal((await again.list("/")).length, 13);
      await again.close();
      if (calls < call) break;
      assert.ok(call < 100);
    }
  });

  describe("of a device that cannot be trusted", () => {
    let repository: Repository;

    beforeEach(async () => {
      repository = await open();
      for (let i = 0; i < 12; i++) await push(repository, `file-${String(i)}`);
      await repository.close();
    });

    const refused = async (work: Promise<unknown>, pattern: RegExp, kind = "logTampered"): Promise<void> => {
      await assert.rejects(work, (error) => {
        assert.ok(error instanceof Refusal, String(error));
        assert.equal(error.kind, kind, error.message);
        assert.match(error.message, pattern);
        return true;
      });
    };

    it("cannot roll it back", async () => {
      const older = copyOf(device);
      const again = await open();
      for (let i = 0; i < 12; i++) await push(again, `more-${String(i)}`);
      await again.close();
      const log = checkpointLog();
      assert.ok(log.entries.length > 1);
      log.entries.pop();
      await refused(open(), /the log of checkpoints was rolled back: it had \d+ entries and now has \d+/);
      device = older;
      await refused(open(), /rolled back/);
    });

    it("cannot drop it", async () => {
      const { id } = checkpointLog();
      device.logs.delete(Buffer.from(id).toString("hex"));
      await refused(open(), /log of checkpoints was rolled back/);
      await refused(newcomer(), /lacks its beginning, and no checkpoint stands for it/);
    });

    it("cannot put another in its place", async () => {
      const log = checkpointLog();
      log.entries[log.entries.length - 1] = Buffer.concat([Uint8Array.of(1, 0, 0), randomBytes(300)]);
      await refused(open(), /log of checkpoints was forked/);
      await refused(newcomer(), /lacks its beginning/);
      assert.ok(scratch.warnings.some((text) => /checkpoint.*passed over/.test(text)));
    });

    it("shows one of a newer version, and it is told", async () => {
      const log = checkpointLog();
      log.entries[log.entries.length - 1] = Buffer.concat([Uint8Array.of(2, 0, 0), randomBytes(300)]);
      await refused(newcomer(), /the checkpoint on memory was made by a newer Coffer/, "newerVersion");
    });

    it("cannot make one that says something else", async () => {
      const log = checkpointLog();
      log.entries.push(randomBytes(400));
      const again = await open();
      assert.equal((await again.list("/")).length, 12);
      assert.ok(scratch.warnings.some((text) => /passed over/.test(text)));
    });

    it("cannot change its parts", async () => {
      const magic = Buffer.from("CFCP");
      for (const blob of device.blobs.values())
        if (blob.subarray(0, 4).equals(magic)) blob[20] = (blob[20] ?? 0) ^ 1;
      await refused(newcomer(), /lacks its beginning/);
      assert.ok(
        scratch.warnings.some((text) => /part of a checkpoint .* its bytes do not hash to its id/.test(text)),
      );
      // who has a copy is not concerned, finds the damage and mends it
      const again = await open();
      assert.equal((await again.list("/")).length, 12);
      assert.equal((await again.verify({ readPercent: 100 })).isWhole, false);
      await again.repair();
      await assertWhole(await newcomer());
    });

    it("cannot put one of another repository in its place", async () => {
      const home = scratch.path("stranger");
      await scratch.create(home);
      const strange = new MemoryDevice();
      const stranger = await scratch.open([strange], { ...EAGER, home });
      for (let i = 0; i < 12; i++) await push(stranger, `file-${String(i)}`);
      const log = checkpointLog();
      log.entries.push(...checkpointLog(strange).entries);
      for (const [id, blob] of strange.blobs) device.blobs.set(id, blob);
      assert.equal((await (await open()).list("/")).length, 12);
      assert.ok(scratch.warnings.some((text) => /passed over/.test(text)));
    });

    it("cannot hide what came after it", async () => {
      const log = [...device.logs.values()].find(({ first }) => (first ?? 0) > 0);
      assert.ok(log);
      log.entries.pop();
      await refused(open(), /was rolled back/);
    });

    it("cannot change an entry that is left", async () => {
      const log = [...device.logs.values()].find(({ first }) => (first ?? 0) > 0);
      const entry = log?.entries.at(-1);
      assert.ok(entry);
      entry[40] = (entry[40] ?? 0) ^ 1;
      await refused(newcomer(), /does not verify/);
    });
  });

  it("of a writer that was revoked is refused, and the next try refuses it again", async () => {
    const one = await open({ computer: "one" });
    await push(one, "start");
    const home = scratch.path("thief");
    const thief = await open({ home, computer: "thief" });
    await push(thief, "of the thief");
    await thief.close();
    const honest = copyOf(device);
    await one.refresh();
    await one.revokeWriter("thief");
    const evil = await open({ home, computer: "thief" }, [honest]);
    for (let i = 0; i < 12; i++) await push(evil, `file-${String(i)}`);
    assert.ok(firsts(honest).some((first) => first > 0));
    copyDevice(device, honest);
    for (let attempt = 0; attempt < 2; attempt++)
      await assert.rejects(open({ home: scratch.path("late"), computer: "late" }, [honest]), {
        kind: "logTampered",
        message: /made by thief, which was revoked/,
      });
    await one.close();
    const again = await open({ computer: "one" }, [honest]);
    assert.equal((await again.list("/")).length, 2, "who knew before goes by what it knew");
  });
});
