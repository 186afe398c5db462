// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { Refusal } from "../refusal";
import type { NodeChange, Repository, VersionInfo } from "./repository";
import { MemoryDevice } from "./testing/memory-device";
import { Scratch, assertSameTree, noise } from "./testing/scratch";

function refusal(kind: Refusal["kind"], message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof Refusal, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(`${error.message}\n${error.hint ?? ""}`, message);
    return true;
  };
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function log(repository: Repository, path?: string): Promise<VersionInfo[]> {
  return all(repository.versions.log({ path }));
}

/** What each version changed, newest first. */
async function changes(repository: Repository, path?: string): Promise<string[]> {
  return (await log(repository, path)).map((version) =>
    version.changes.map(({ change, path, to }) => [change, path, to ?? ""].join(" ").trim()).join(", "),
  );
}

describe("versions", () => {
  let scratch: Scratch;
  let device: MemoryDevice;

  beforeEach(async () => {
    scratch = new Scratch();
    device = new MemoryDevice();
    await scratch.create();
  });
  afterEach(async () => {
    await scratch.remove();
  });

  async function push(repository: Repository, files: Record<string, string>, to = "/"): Promise<string> {
    const tops = new Set<string>();
    for (const [path, content] of Object.entries(files)) {
      scratch.write(`source/${path}`, content);
      tops.add(scratch.path("source", path.split("/", 1)[0] ?? ""));
    }
    await repository.push({ sources: [...tops], to });
    return (await repository.versions.find("latest")).id;
  }

  async function content(repository: Repository, path: string, at?: string): Promise<string> {
    const to = scratch.path("content");
    rmSync(to, { force: true });
    await repository.pull({ remote: path, to, at });
    return readFileSync(to, "utf8");
  }

  /** The same blobs and logs under another name: what one device gets from now on, the other does not have. */
  function copyOf(original: MemoryDevice, name: string): MemoryDevice {
    const copy = new MemoryDevice({ name });
    for (const [key, blob] of original.blobs) copy.blobs.set(key, blob);
    for (const [key, it] of original.logs) copy.logs.set(key, { id: it.id, entries: [...it.entries] });
    return copy;
  }

  it("are listed newest first, with what changed, who did it, how large everything was, and tags", async () => {
    const repository = await scratch.open([device]);
    await push(repository, { "docs/a": "12345", b: "123" });
    await repository.makeDirectory("/empty");
    await repository.move("/b", "/docs/c");
    await repository.versions.tag("moved");
    await repository.remove("/docs", { recursive: true });
    const versions = await log(repository);
    assert.deepEqual(await changes(repository), [
      "remove /docs",
      "move /b /docs/c",
      "mkdir /empty",
      "put /docs, put /b",
    ]);
    assert.deepEqual(
      versions.map(({ sizeBytes, tags }) => [sizeBytes, ...tags]),
      [[0], [8, "moved"], [8], [8]],
    );
    assert.ok(versions.every(({ writer, timeMs }) => writer !== "" && Math.abs(Date.now() - timeMs) < 3.6e6));
    assert.ok(versions.every(({ id, shortId }) => id.startsWith(shortId) && shortId.length >= 8));
    const other = await scratch.open([device], { home: scratch.path("other") });
    assert.deepEqual(await log(other), versions);
  });

  it("are read as they were: pull, list, stat, walk and usage", async () => {
    const repository = await scratch.open([device]);
    const first = await push(repository, { "docs/a": "old", "docs/gone": "still here" });
    const old = scratch.path("old");
    await repository.pull({ remote: "/docs", to: old });
    await push(repository, { "docs/a": "newer", "docs/b": "added" });
    await repository.remove("/docs/gone");
    await repository.pull({ remote: "/docs", to: scratch.path("back"), at: first });
    assertSameTree(scratch.path("back"), old);
    const at = first.slice(0, 8);
    assert.deepEqual(
      (await repository.list("/docs", { at })).map(({ name }) => name),
      ["a", "gone"],
    );
    assert.equal((await repository.stat("/docs/a", { at }))?.sizeBytes, 3);
    assert.equal(await repository.stat("/docs/b", { at }), undefined);
    assert.deepEqual(
      (await all(repository.walk("/", { at }))).map(({ path }) => path),
      ["/", "/docs", "/docs/a", "/docs/gone"],
    );
    const [then, now] = [await repository.usage({ at }), await repository.usage()];
    assert.deepEqual([then.files, then.bytes, now.files, now.bytes], [2, 13, 2, 10]);
    assert.equal(await content(repository, "/docs/a", "latest"), "newer");
    await assert.rejects(repository.list("/docs/b", { at }), refusal("pathNotFound", new RegExp(at)));
  });

  it("of a path are those in which it changed", async () => {
    const repository = await scratch.open([device]);
    await push(repository, { "docs/a": "1" });
    await push(repository, { other: "x" });
    await push(repository, { "docs/a": "2" });
    await repository.makeDirectory("/docs/sub");
    await repository.move("/docs/a", "/moved");
    await repository.move("/moved", "/docs/a");
    assert.deepEqual(await changes(repository, "/docs/a"), [
      "move /moved /docs/a",
      "move /docs/a /moved",
      "put /docs",
      "put /docs",
    ]);
    assert.deepEqual(await changes(repository, "/docs/sub"), ["mkdir /docs/sub"]);
    assert.deepEqual(await changes(repository, "/nowhere"), []);
    assert.equal((await changes(repository, "/")).length, 6);
  });

  it("of a path do not count what another computer wrote meanwhile as a change back", async () => {
    const one = await scratch.open([device]);
    await push(one, { x: "x" });
    const elsewhere = copyOf(device, "elsewhere");
    const two = await scratch.open([elsewhere], { home: scratch.path("second") });
    await push(one, { mine: "1" });
    await two.makeDirectory("/yours");
    const both = await scratch.open([device, elsewhere], { home: scratch.path("third") });
    assert.deepEqual((await changes(both)).sort(), ["mkdir /yours", "put /mine", "put /x"]);
    assert.deepEqual(await changes(both, "/mine"), ["put /mine"]);
    assert.deepEqual(await changes(both, "/yours"), ["mkdir /yours"]);
    assert.ok(await both.stat("/mine", { at: "latest" }), "latest is the merged state");
    assert.ok(await both.stat("/yours", { at: "latest" }));
  });

  it("are compared: every kind of difference", async () => {
    const repository = await scratch.open([device]);
    const first = await push(repository, {
      "d/same/deep/file": "same",
      "d/gone/x": "123",
      "d/grown": "1",
      "d/mode": "m",
      "d/kind": "a file",
      "d/touched": "t",
    });
    for (const path of ["gone", "kind"]) rmSync(scratch.path("source/d", path), { recursive: true });
    await repository.remove("/d/gone", { recursive: true });
    await repository.remove("/d/kind");
    chmodSync(scratch.path("source/d/mode"), 0o600);
    scratch.write("source/d/grown", "12345");
    scratch.write("source/d/kind/now-a-folder", "z");
    scratch.write("source/d/touched", "t");
    symlinkSync("grown", scratch.path("source/d/link"));
    await repository.push({ sources: [scratch.path("source/d")], to: "/" });
    const seen = (change: NodeChange): string => {
      const sizes = [change.before, change.after].map((node) => (node ? String(node.sizeBytes) : "-"));
      return `${change.change} ${change.path} ${sizes.join(" ")}`;
    };
    const found = (await all(repository.versions.diff(first, undefined))).map(seen);
    assert.deepEqual(found, [
      "removed /d/gone 3 -",
      "removed /d/gone/x 3 -",
      "modified /d/grown 1 5",
      "type /d/kind 6 1",
      "added /d/kind/now-a-folder - 1",
      "added /d/link - 5",
      "mode /d/mode 1 1",
    ]);
    const back = (await all(repository.versions.diff("latest", first))).map(seen);
    assert.deepEqual(back.slice(0, 3), ["added /d/gone - 3", "added /d/gone/x - 3", "modified /d/grown 5 1"]);
    const below = await all(repository.versions.diff(first, undefined, "/d/kind"));
    assert.deepEqual(below.map(seen), ["type /d/kind 6 1", "added /d/kind/now-a-folder - 1"]);
    assert.deepEqual(await all(repository.versions.diff(first, first)), []);
    await assert.rejects(
      all(repository.versions.diff(first, undefined, "/no")),
      refusal("pathNotFound", /no/),
    );
  });

  describe("are put back", () => {
    it("a file, a folder that was removed, everything, and beside what is there", async () => {
      const repository = await scratch.open([device]);
      const first = await push(repository, { "docs/a": "old", "docs/sub/b": "b", top: "top" });
      await repository.pull({ remote: "/docs", to: scratch.path("old") });
      await push(repository, { "docs/a": "new", "docs/later": "later" });
      assert.equal(await repository.versions.restore("/docs/a", { at: first }), true);
      assert.equal(await content(repository, "/docs/a"), "old");
      assert.ok(await repository.stat("/docs/later"), "what is beside it stays");
      assert.equal(await repository.versions.restore("/docs/a", { at: first }), false);
      await repository.remove("/docs", { recursive: true });
      await repository.versions.restore("/docs", { at: first });
      await repository.pull({ remote: "/docs", to: scratch.path("back") });
      assertSameTree(scratch.path("back"), scratch.path("old"));
      await repository.versions.restore("/docs", { at: first, to: "/was/here/docs" });
      assert.equal(await content(repository, "/was/here/docs/sub/b"), "b");
      await repository.versions.restore("/", { at: first });
      assert.equal(
        (await repository.stat("/"))?.contentId,
        (await repository.stat("/", { at: first }))?.contentId,
      );
      await repository.versions.restore("/", { at: first, to: "/all" });
      assert.equal(await content(repository, "/all/top"), "top");
      const other = await scratch.open([device], { home: scratch.path("other") });
      assert.equal((await other.stat("/"))?.contentId, (await repository.stat("/"))?.contentId);
      assert.deepEqual((await changes(other)).slice(0, 3), [
        "restore /all",
        "restore /",
        "restore /was/here/docs",
      ]);
    });

    it("without any file travelling", async () => {
      const repository = await scratch.open([device]);
      // More chunks than a folder holds: there is a list of them.
      scratch.write("big", noise(5, 30_000_000));
      await repository.push({ sources: [scratch.path("big")], to: "/" });
      await repository.remove("/big");
      const [sent, received] = [device.putBytes, device.getBytes];
      await repository.versions.restore("/big", { at: (await log(repository))[1]?.id ?? "" });
      assert.ok(device.putBytes - sent < 4096, String(device.putBytes - sent));
      assert.equal(device.getBytes, received);
    });

    it("onto a device that lacks folders, but not onto one that lacks files", async () => {
      const second = new MemoryDevice({ name: "second" });
      const both = await scratch.open([device, second]);
      await push(both, { "docs/shared": "shared" });
      await both.close();
      const one = await scratch.open([device]);
      await one.makeDirectory("/docs/only-one");
      await one.makeDirectory("/docs/only-one/deep");
      const folders = (await one.versions.find("latest")).id;
      await push(one, { "docs/mine": "on one device" });
      const files = (await one.versions.find("latest")).id;
      await one.remove("/docs", { recursive: true });
      await one.close();
      // The second device gets the logs now, and of what came last nothing else.
      const meeting = await scratch.open([device, second]);
      await meeting.makeDirectory("/meeting");
      const before = (await log(meeting)).length;
      const hint = /\/docs\/mine .*not on second\n.* memory: restore with --device memory/;
      await assert.rejects(meeting.versions.restore("/docs", { at: files }), refusal("missingBlob", hint));
      assert.equal((await log(meeting)).length, before, "nothing was written");
      await meeting.versions.restore("/docs", { at: folders });
      await meeting.close();
      const two = await scratch.open([second], { home: scratch.path("fresh") });
      await two.pull({ remote: "/docs", to: scratch.path("back") });
      assert.equal(readFileSync(scratch.path("back/shared"), "utf8"), "shared");
      assert.ok(existsSync(scratch.path("back/only-one/deep")));
    });

    it("not over something else, and not when there was nothing", async () => {
      const repository = await scratch.open([device]);
      const first = await push(repository, { a: "a", b: "b" });
      await push(repository, { c: "c" });
      const { versions } = repository;
      await assert.rejects(versions.restore("/a", { at: first, to: "/b" }), refusal("nameCollision", /\/b/));
      await assert.rejects(versions.restore("/a", { at: first, to: "/" }), refusal("nameCollision", /\//));
      await assert.rejects(
        versions.restore("/a", { at: first, to: "/b/x" }),
        refusal("nameCollision", /\/b/),
      );
      await assert.rejects(versions.restore("/c", { at: first }), refusal("pathNotFound", /\/c/));
    });

    it("also when another computer writes at the same time", async () => {
      const one = await scratch.open([device]);
      const first = await push(one, { "docs/a": "old" });
      await push(one, { "docs/a": "new" });
      const elsewhere = copyOf(device, "elsewhere");
      const two = await scratch.open([elsewhere], { home: scratch.path("second") });
      await one.versions.restore("/docs", { at: first });
      await two.makeDirectory("/yours");
      await two.makeDirectory("/yours/too");
      const both = await scratch.open([device, elsewhere], { home: scratch.path("third") });
      assert.equal(await content(both, "/docs/a"), "old");
      assert.ok(await both.stat("/yours/too"));
    });
  });

  describe("have tags", () => {
    it("that move, go, and are the same for all, in whatever order the logs came", async () => {
      const one = await scratch.open([device]);
      const first = await push(one, { a: "1" });
      const second = await push(one, { a: "2" });
      await one.versions.tag("v1", first);
      await one.versions.tag("mine", second.slice(0, 10));
      const elsewhere = copyOf(device, "elsewhere");
      const two = await scratch.open([elsewhere], { home: scratch.path("second") });
      // Both change what the other changes, without knowing of each other.
      await one.versions.tag("v1", second);
      await one.versions.untag("mine");
      await two.versions.tag("v1", first);
      await two.versions.tag("mine", first);
      await two.versions.tag("v2");
      const homes = [
        [device, elsewhere],
        [elsewhere, device],
      ].map((devices, at) => scratch.open(devices, { home: scratch.path(`home-${String(at)}`) }));
      const [there, back] = await Promise.all(homes);
      const tags = await there?.versions.tags();
      assert.deepEqual(await back?.versions.tags(), tags);
      assert.deepEqual(tags?.map(({ name }) => name).includes("v2"), true);
      assert.equal((await log(there as Repository)).length, 2, "tags make no versions");
      await there?.versions.tag("v1", first);
      await back?.refresh();
      assert.equal((await back?.versions.find("v1"))?.id, first, "whoever is last wins");
    });

    it("of sensible names only", async () => {
      const repository = await scratch.open([device]);
      await push(repository, { a: "1" });
      const bad = [
        "",
        "a b",
        "ä",
        "x".repeat(65),
        "a/b",
        "cafe",
        "20261121",
        "LATEST",
        "2026-11-21",
        "today",
      ];
      for (const name of bad)
        await assert.rejects(repository.versions.tag(name), refusal("usage", /cannot be a tag/), name);
      for (const name of ["x".repeat(64), "v1.0_final-2", "abc", "_", "coffee"])
        await repository.versions.tag(name);
      assert.equal((await repository.versions.tags()).length, 5);
      await assert.rejects(repository.versions.untag("nothing"), refusal("unknownVersion", /no tag/));
      await assert.rejects(repository.versions.tag("v", "nothing"), refusal("unknownVersion", /nothing/));
    });

    it("and an entry is written only for what changes", async () => {
      const repository = await scratch.open([device]);
      await push(repository, { a: "1" });
      await repository.versions.tag("v1");
      const { entries } = await repository.usage();
      await repository.versions.tag("v1");
      assert.equal((await repository.usage()).entries, entries);
    });
  });

  describe("are forgotten", () => {
    it("by name, and cannot be named any more", async () => {
      const repository = await scratch.open([device]);
      const ids = [await push(repository, { a: "1" }), await push(repository, { a: "2" })];
      ids.push(await push(repository, { a: "3" }));
      const [first = "", second = "", third = ""] = ids;
      await repository.versions.tag("kept", second);
      const dry = await repository.versions.forget({ versions: [first], isDryRun: true });
      assert.deepEqual(
        dry.forgotten.map(({ id }) => id),
        [first],
      );
      assert.equal((await log(repository)).length, 3, "a dry run does nothing");
      const { versions } = repository;
      await assert.rejects(versions.forget({ versions: [second] }), refusal("versionInUse", /tag kept/));
      await assert.rejects(versions.forget({ versions: [third] }), refusal("versionInUse", /current/));
      await assert.rejects(versions.forget({ versions: ["latest"] }), refusal("versionInUse", /current/));
      assert.equal((await log(repository)).length, 3, "a refusal forgets nothing");
      await versions.forget({ versions: [first.slice(0, 12)] });
      assert.deepEqual(
        (await log(repository)).map(({ id }) => id),
        [third, second],
      );
      await assert.rejects(repository.list("/", { at: first }), refusal("unknownVersion", /forgotten/));
      await versions.untag("kept");
      await versions.forget({ versions: [second] });
      const other = await scratch.open([device], { home: scratch.path("other") });
      assert.deepEqual(
        (await log(other)).map(({ id }) => id),
        [third],
      );
      assert.equal(await content(other, "/a"), "3");
    });

    it("by a policy, which tells its reasons and spares tags and what is current anywhere", async () => {
      const repository = await scratch.open([device]);
      await push(repository, { a: "1" });
      await repository.versions.tag("first");
      const other = await scratch.open([device], { home: scratch.path("other") });
      await other.makeDirectory("/other");
      await repository.refresh();
      for (const text of ["2", "3", "4", "5"]) await push(repository, { a: text });
      const report = await repository.versions.forget({ policy: { last: 2 } });
      const writer = report.kept[0]?.version.writer ?? "";
      assert.deepEqual(
        report.kept.map(({ reasons }) => reasons),
        [["last", `current on ${writer}`], ["last"], [`current on ${writer}`], ["tag first"]],
      );
      assert.equal(report.forgotten.length, 2);
      assert.equal((await log(repository)).length, 4);
      const tagsOnly = await repository.versions.forget({ policy: { tags: ["any"] } });
      assert.equal(tagsOnly.forgotten.length, 1);
      await assert.rejects(
        repository.versions.forget({ policy: { tags: ["nothing"] } }),
        refusal("unknownVersion", /no tag "nothing"/),
      );
    });

    it("not when another computer tags it at the same time", async () => {
      const one = await scratch.open([device]);
      const first = await push(one, { a: "1" });
      await push(one, { a: "2" });
      const elsewhere = copyOf(device, "elsewhere");
      const two = await scratch.open([elsewhere], { home: scratch.path("second") });
      await two.versions.tag("precious", first);
      await one.versions.forget({ versions: [first] });
      await assert.rejects(one.versions.find(first), refusal("unknownVersion", /forgotten/));
      const both = await scratch.open([device, elsewhere], { home: scratch.path("third") });
      assert.equal((await both.versions.find("precious")).id, first);
      assert.equal((await log(both)).length, 2);
    });

    it("not while an entry that may hold tags cannot be read", async () => {
      const repository = await scratch.open([device]);
      await repository.makeDirectory(`/${"n".repeat(250)}`);
      const long = ["a", "b", "c"].map((letter) => letter.repeat(250)).join("/");
      await repository.makeDirectory(`/${long}`, { parents: true });
      await repository.makeDirectory("/later");
      device.blobs.clear();
      const fresh = await scratch.open([device], { home: scratch.path("fresh") });
      assert.equal((await log(fresh)).length, 3, "it still counts as a version");
      const told = scratch.warnings.filter((text) => /^what the log entry of .* cannot be read/.test(text));
      assert.equal(told.length, 1, "told once");
      await assert.rejects(
        fresh.versions.forget({ policy: { last: 1 } }),
        refusal("missingBlob", /1 of the log entries/),
      );
    });
  });

  describe("of a long history", () => {
    it("are listed without a round trip for each", async () => {
      const repository = await scratch.open([device]);
      for (let at = 0; at < 60; at++) await repository.makeDirectory(`/folder-${String(at)}`);
      const fresh = await scratch.open([device], { home: scratch.path("fresh") });
      device.calls = 0;
      assert.equal((await log(fresh)).length, 60);
      assert.equal(device.calls, 0);
    });

    it("are fetched several at a time when they say much, and only once", async () => {
      const repository = await scratch.open([device]);
      const long = ["a", "b", "c"].map((letter) => letter.repeat(250)).join("/");
      await repository.makeDirectory(`/${long}`, { parents: true });
      for (let at = 0; at < 30; at++) await repository.makeDirectory(`/${long}/${String(at)}`);
      const get = device.get.bind(device);
      let [running, most] = [0, 0];
      device.get = async (...call) => {
        most = Math.max(most, ++running);
        try {
          return await get(...call);
        } finally {
          running--;
        }
      };
      const fresh = await scratch.open([device], { home: scratch.path("fresh") });
      assert.equal((await log(fresh)).length, 31);
      assert.ok(most >= 8, `${String(most)} at a time`);
      device.calls = 0;
      assert.equal((await log(fresh)).length, 31);
      await fresh.close();
      const again = await scratch.open([device], { home: scratch.path("fresh") });
      device.calls = 0;
      assert.equal((await log(again)).length, 31);
      assert.equal(device.calls, 0, "what was fetched is kept on this computer");
    });
  });
});
