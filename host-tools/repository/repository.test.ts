// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Refusal } from "../refusal";
import type { Repository } from "./repository";
import { MemoryDevice } from "./testing/memory-device";
import { PASSPHRASE, Scratch, assertSameTree, makeOddTree, noise } from "./testing/scratch";

describe("repository", () => {
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

  async function names(repository: Repository, path: string): Promise<string[]> {
    return (await repository.list(path)).map((node) => node.name);
  }

  it("brings an odd tree back as it was", async () => {
    const source = makeOddTree(scratch);
    chmodSync(join(source, "executable"), 0o4751);
    chmodSync(join(source, "small"), 0o400);
    chmodSync(join(source, "read-only"), 0o555);
    const repository = await scratch.open([device]);
    const report = await repository.push({ sources: [source], to: "/" });
    assert.deepEqual(report.problems, []);
    const pulled = await repository.pull({ remote: "/odd", to: scratch.path("back") });
    assert.deepEqual(pulled.problems, []);
    assertSameTree(scratch.path("back"), source);
    assert.ok(statSync(scratch.path("back/sparse")).blocks * 512 < 1_000_000, "holes stay holes");
    assert.ok(report.storedBytes < 4_400_000, "holes are not stored");
    chmodSync(join(source, "read-only"), 0o755);
    chmodSync(scratch.path("back/read-only"), 0o755);
  });

  it("shows the same to a computer that has nothing but the passphrase", async () => {
    const source = makeOddTree(scratch);
    await (await scratch.open([device])).push({ sources: [source], to: "/deep/er" });
    const fresh = await scratch.open([device], { home: scratch.path("other-home") });
    await fresh.pull({ remote: "/deep/er/odd", to: scratch.path("back") });
    assertSameTree(scratch.path("back"), source);
    scratch.write("more/file", "from the other computer");
    await fresh.push({ sources: [scratch.path("more")], to: "/" });
    const first = await scratch.open([device]);
    assert.deepEqual(await names(first, "/"), ["deep", "more"]);
  });

  it("merges what two computers wrote without knowing of each other", async () => {
    const one = await scratch.open([device]);
    scratch.write("base/x", "x");
    await one.push({ sources: [scratch.path("base")], to: "/" });
    const two = await scratch.open([device], { home: scratch.path("second") });
    const other = new MemoryDevice({ name: "other" });
    for (const [key, blob] of device.blobs) other.blobs.set(key, blob);
    for (const [key, log] of device.logs) other.logs.set(key, { id: log.id, entries: [...log.entries] });
    const twoElsewhere = await scratch.open([other], { home: scratch.path("second") });
    scratch.write("p/base/from-one", "1");
    scratch.write("q/base/from-two", "2");
    await one.push({ sources: [scratch.path("p/base")], to: "/" });
    await twoElsewhere.push({ sources: [scratch.path("q/base")], to: "/" });
    await two.close();
    const both = await scratch.open([device, other], { home: scratch.path("third") });
    assert.deepEqual(await names(both, "/base"), ["from-one", "from-two", "x"]);
    const reversed = await scratch.open([other, device], { home: scratch.path("fourth") });
    assert.equal((await both.stat("/"))?.contentId, (await reversed.stat("/"))?.contentId);
    await both.makeDirectory("/after");
    const later = await scratch.open([device, other], { home: scratch.path("fifth") });
    assert.deepEqual(await names(later, "/base"), ["from-one", "from-two", "x"]);
    await later.pull({ remote: "/base", to: scratch.path("merged") });
    assert.equal(readFileSync(scratch.path("merged/from-two"), "utf8"), "2");
  });

  it("does not read what is unchanged, and reads it with force", async () => {
    const source = makeOddTree(scratch);
    const repository = await scratch.open([device]);
    const first = await repository.push({ sources: [source], to: "/" });
    const again = await repository.push({ sources: [source], to: "/" });
    assert.equal(again.hashedBytes, 0);
    assert.equal(again.unchangedFiles, first.files);
    assert.equal(again.isChanged, false);
    const forced = await repository.push({ sources: [source], to: "/", force: true });
    assert.equal(forced.unchangedFiles, 0);
    assert.equal(forced.newChunks, 0);
    assert.equal(forced.isChanged, false);
  });

  it("sends little after one byte was inserted in front", async () => {
    const content = noise(7, 12_000_000);
    const file = scratch.write("big", content);
    const repository = await scratch.open([device]);
    await repository.push({ sources: [file], to: "/" });
    writeFileSync(file, Buffer.concat([Buffer.from("!"), content]));
    const report = await repository.push({ sources: [file], to: "/" });
    assert.ok(report.sentBytes < 4_500_000, `sent ${String(report.sentBytes)}`);
    await repository.pull({ remote: "/big", to: scratch.path("back") });
    assert.ok(readFileSync(scratch.path("back")).equals(readFileSync(file)));
  });

  it("needs few calls for many files", async () => {
    for (let i = 0; i < 1000; i++) scratch.write(`many/${String(i % 10)}/${String(i)}`, `file ${String(i)}`);
    const repository = await scratch.open([device]);
    const before = device.calls;
    await repository.push({ sources: [scratch.path("many")], to: "/" });
    assert.ok(device.calls - before < 20, `${String(device.calls - before)} calls`);
  });

  it("lists without fetching what is not listed", async () => {
    scratch.write("data/large", noise(9, 5_000_000));
    await (await scratch.open([device])).push({ sources: [scratch.path("data")], to: "/" });
    device.getBytes = 0;
    const fresh = await scratch.open([device], { home: scratch.path("fresh") });
    assert.deepEqual(await names(fresh, "/data"), ["large"]);
    assert.ok(device.getBytes < 10_000, `${String(device.getBytes)} bytes`);
    device.getBytes = 0;
    assert.deepEqual(await names(fresh, "/"), ["data"]);
    assert.equal(device.getBytes, 0);
  });

  it("makes, moves and removes files and folders", async () => {
    const repository = await scratch.open([device]);
    await repository.makeDirectory("/a");
    await assert.rejects(repository.makeDirectory("/a"), isRefusal("nameCollision"));
    await assert.rejects(repository.makeDirectory("/x/y"), isRefusal("pathNotFound"));
    await repository.makeDirectory("x/y", { parents: true });
    await repository.push({ sources: [scratch.write("f", "1")], to: "/x/y" });
    await repository.move("/x/y/f", "/a");
    await repository.move("/a/f", "/a/g");
    assert.deepEqual(await names(repository, "/a"), ["g"]);
    await assert.rejects(repository.removeDirectory("/a"), isRefusal("folderNotEmpty"));
    await assert.rejects(repository.remove("/a"), isRefusal("wrongKind"));
    await assert.rejects(repository.remove("/nothing"), isRefusal("pathNotFound"));
    await assert.rejects(repository.move("/x", "/x/y"), isRefusal("wrongKind"));
    await repository.removeDirectory("/x/y");
    await repository.remove("/a", { recursive: true });
    assert.deepEqual(await names(repository, "/"), ["x"]);
    const reopened = await scratch.open([device]);
    assert.deepEqual(await names(reopened, "/"), ["x"]);
  });

  it("adds to a folder of the same name and keeps what only the device has", async () => {
    const repository = await scratch.open([device]);
    scratch.write("one/d/kept", "1");
    scratch.write("one/d/replaced", "old");
    await repository.push({ sources: [scratch.path("one/d")], to: "/" });
    scratch.write("two/d/added", "2");
    scratch.write("two/d/replaced", "newer");
    await repository.push({ sources: [scratch.path("two/d")], to: "/" });
    await repository.pull({ remote: "/d", to: scratch.path("back") });
    assert.deepEqual(readdirSync(scratch.path("back")).sort(), ["added", "kept", "replaced"]);
    assert.equal(readFileSync(scratch.path("back/replaced"), "utf8"), "newer");
  });

  it("refuses a file over a folder and a folder over a file, both ways, and changes nothing", async () => {
    const repository = await scratch.open([device]);
    scratch.write("one/d/x/inside", "1");
    scratch.write("two/d/x", "a file now");
    await repository.push({ sources: [scratch.path("one/d")], to: "/" });
    await assert.rejects(
      repository.push({ sources: [scratch.path("two/d")], to: "/" }),
      isRefusal("nameCollision"),
    );
    await assert.rejects(
      repository.push({ sources: [scratch.path("two/d/x")], to: "/d" }),
      isRefusal("nameCollision"),
    );
    await repository.push({ sources: [scratch.path("two/d/x")], to: "/" });
    await assert.rejects(
      repository.push({ sources: [scratch.path("one/d/x")], to: "/" }),
      isRefusal("nameCollision"),
    );
    await assert.rejects(
      repository.push({ sources: [scratch.path("one")], to: "/x" }),
      isRefusal("nameCollision"),
    );
    mkdirSync(scratch.path("target"));
    await assert.rejects(
      repository.pull({ remote: "/x", to: scratch.path("target") }),
      isRefusal("nameCollision"),
    );
    await assert.rejects(
      repository.pull({ remote: "/d", to: scratch.write("taken", "") }),
      isRefusal("nameCollision"),
    );
    await repository.refresh();
    assert.deepEqual(await names(repository, "/d/x"), ["inside"]);
  });

  it("never follows a symbolic link out of what is pulled", async () => {
    const repository = await scratch.open([device]);
    scratch.write("s/sub/file", "content");
    scratch.write("s/plain", "content");
    await repository.push({ sources: [scratch.path("s")], to: "/" });
    mkdirSync(scratch.path("outside"));
    mkdirSync(scratch.path("back"));
    symlinkSync(scratch.path("outside"), scratch.path("back/sub"));
    symlinkSync(scratch.write("precious", "precious"), scratch.path("back/plain"));
    const report = await repository.pull({ remote: "/s", to: scratch.path("back") });
    assert.deepEqual(
      report.problems.map((problem) => problem.kind),
      ["nameCollision"],
    );
    assert.deepEqual(readdirSync(scratch.path("outside")), []);
    assert.equal(readFileSync(scratch.path("precious"), "utf8"), "precious");
    assert.equal(readFileSync(scratch.path("back/plain"), "utf8"), "content");
  });

  it("passes over what a pull finds complete, and obeys overwrite", async () => {
    const repository = await scratch.open([device]);
    const source = makeOddTree(scratch);
    await repository.push({ sources: [source], to: "/" });
    const first = await repository.pull({ remote: "/odd", to: scratch.path("back") });
    const again = await repository.pull({ remote: "/odd", to: scratch.path("back") });
    assert.equal(again.skippedFiles, first.files);
    assert.equal(again.receivedBytes, 0);
    appendFileSync(scratch.path("back/small"), "changed here");
    await repository.pull({ remote: "/odd", to: scratch.path("back"), overwrite: "never" });
    await repository.pull({ remote: "/odd", to: scratch.path("back"), overwrite: "newer" });
    assert.match(readFileSync(scratch.path("back/small"), "utf8"), /changed here/);
    await repository.pull({ remote: "/odd", to: scratch.path("back") });
    assertSameTree(scratch.path("back"), source);
    assert.deepEqual(
      readdirSync(scratch.path("back")).filter((name) => name.includes(".part")),
      [],
    );
  });

  it("tells files that cannot be read, and stores the rest", async function () {
    scratch.write("mixed/good", "1");
    const bad = scratch.write("mixed/bad", "2");
    const repository = await scratch.open([device]);
    chmodSync(bad, 0);
    if (process.getuid?.() === 0) this.skip();
    const report = await repository.push({ sources: [scratch.path("mixed")], to: "/" });
    assert.deepEqual(
      report.problems.map(({ kind, path }) => [kind, path]),
      [["localPermission", bad]],
    );
    assert.deepEqual(await names(repository, "/mixed"), ["good"]);
  });

  it("tells files that vanish between being found and being read", async () => {
    for (const name of ["a", "b", "c"]) scratch.write(`gone/${name}`, name);
    scratch.write("gone/aa", noise(3, 3_000_000));
    const repository = await scratch.open([device]);
    const report = await repository.push({
      sources: [scratch.path("gone")],
      to: "/",
      onProgress: () => {
        if (existsSync(scratch.path("gone/b"))) unlinkSync(scratch.path("gone/b"));
      },
    });
    assert.ok(report.problems.length <= 1);
    assert.deepEqual(
      (await names(repository, "/gone")).filter((name) => name !== "b"),
      ["a", "aa", "c"],
    );
  });

  it("goes on when the clock was put back, and says so", async () => {
    const repository = await scratch.open([device]);
    const realNow = Date.now;
    try {
      Date.now = () => realNow() + 86_400_000;
      await repository.makeDirectory("/tomorrow");
    } finally {
      Date.now = realNow;
    }
    assert.deepEqual(scratch.warnings, []);
    await repository.makeDirectory("/today");
    assert.match(scratch.warnings.join(), /one of the two clocks is wrong/);
    assert.deepEqual(await names(repository, "/"), ["today", "tomorrow"]);
    const fresh = await scratch.open([device], { home: scratch.path("fresh") });
    assert.deepEqual(await names(fresh, "/"), ["today", "tomorrow"]);
  });

  it("refuses sources that are not there, and names that meet", async () => {
    const repository = await scratch.open([device]);
    await assert.rejects(
      repository.push({ sources: [scratch.path("nothing")], to: "/" }),
      isRefusal("localPathNotFound"),
    );
    const [one, two] = [scratch.write("p/same", "1"), scratch.write("q/same", "2")];
    await assert.rejects(repository.push({ sources: [one, two], to: "/" }), isRefusal("nameCollision"));
    await assert.rejects(
      repository.pull({ remote: "/nothing", to: scratch.path("x") }),
      isRefusal("pathNotFound"),
    );
  });

  it("refuses a wrong passphrase, here and when only the device has the keys", async () => {
    await (await scratch.open([device])).makeDirectory("/a");
    await assert.rejects(
      scratch.open([device], { passphrase: `${PASSPHRASE}!` }),
      isRefusal("wrongPassphrase"),
    );
    const elsewhere = scratch.path("elsewhere");
    await assert.rejects(
      scratch.open([device], { passphrase: "x", home: elsewhere }),
      isRefusal("wrongPassphrase"),
    );
    await assert.rejects(
      scratch.open([new MemoryDevice()], { home: elsewhere }),
      isRefusal("notInitialised"),
    );
  });

  it("refuses a full card clearly and leaves the state before as it was", async () => {
    const repository = await scratch.open([device]);
    await repository.push({ sources: [scratch.write("first", "1")], to: "/" });
    device.capacityBytes = device.usedBytes + 1_000_000;
    const large = scratch.write("large", noise(5, 3_000_000));
    await assert.rejects(repository.push({ sources: [large], to: "/" }), isRefusal("cardFull"));
    const after = await scratch.open([device], { home: scratch.path("fresh") });
    assert.deepEqual(await names(after, "/"), ["first"]);
    device.capacityBytes = 2 ** 40;
    await (await scratch.open([device])).push({ sources: [large], to: "/" });
    await after.refresh();
    assert.deepEqual(await names(after, "/"), ["first", "large"]);
  });

  it("stores the same on several devices, and reads from any that is left", async () => {
    const second = new MemoryDevice({ name: "second" });
    const source = makeOddTree(scratch);
    const both = await scratch.open([device, second]);
    await both.push({ sources: [source], to: "/" });
    assert.deepEqual([...device.blobs.keys()].sort(), [...second.blobs.keys()].sort());
    for (const key of [...device.blobs.keys()].filter((_, i) => i % 2 === 0)) device.blobs.delete(key);
    for (const key of [...second.blobs.keys()].filter((_, i) => i % 2 === 1))
      (second.blobs.get(key) as Buffer).fill(0);
    rmSync(scratch.path("home/repository/cache"), { recursive: true });
    const damaged = await scratch.open([device, second]);
    const report = await damaged.pull({ remote: "/odd", to: scratch.path("back") });
    assert.deepEqual(report.problems, []);
    assertSameTree(scratch.path("back"), source);
  });

  it("stores on a further device what it lacks, also of files that did not change", async () => {
    const source = makeOddTree(scratch);
    await (await scratch.open([device])).push({ sources: [source], to: "/" });
    const second = new MemoryDevice({ name: "second" });
    await (await scratch.open([device, second])).push({ sources: [source], to: "/" });
    const alone = await scratch.open([second], { home: scratch.path("fresh") });
    await alone.pull({ remote: "/odd", to: scratch.path("back") });
    assertSameTree(scratch.path("back"), source);
  });

  it("takes a device with a new card when it is told so, and refuses it otherwise", async () => {
    const source = makeOddTree(scratch);
    await (await scratch.open([device])).push({ sources: [source], to: "/" });
    const replaced = new MemoryDevice();
    await assert.rejects(scratch.open([replaced]), isRefusal("logTampered"));
    const repository = await scratch.open([replaced], { forgetDevices: [replaced.name] });
    await repository.push({ sources: [source], to: "/" });
    const alone = await scratch.open([replaced], { home: scratch.path("fresh") });
    await alone.pull({ remote: "/odd", to: scratch.path("back") });
    assertSameTree(scratch.path("back"), source);
  });

  it("stops when it is told to, and leaves no half-written file", async () => {
    const abort = new AbortController();
    const repository = await scratch.open([device], { signal: abort.signal });
    const file = scratch.write("big", noise(7, 30_000_000));
    await repository.push({ sources: [file], to: "/" });
    abort.abort(new Refusal("interrupted", "interrupted"));
    await assert.rejects(
      repository.pull({ remote: "/big", to: scratch.path("out/back") }),
      isRefusal("interrupted"),
    );
    await assert.rejects(repository.push({ sources: [file], to: "/" }), isRefusal("interrupted"));
    assert.deepEqual(readdirSync(scratch.path("out")), []);
  });
});

export function isRefusal(kind: Refusal["kind"]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Refusal, String(error));
    assert.equal(error.kind, kind, error.message);
    return true;
  };
}
