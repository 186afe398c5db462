// SPDX-License-Identifier: MIT
/** The attacker's side: a device that changes, swaps, drops and takes back what it was given. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Refusal } from "../refusal";
import { MemoryDevice } from "./testing/memory-device";
import { PASSPHRASE, Scratch, assertSameTree, noise } from "./testing/scratch";

describe("a device that cannot be trusted", () => {
  let scratch: Scratch;
  let device: MemoryDevice;
  let source: string;

  beforeEach(async () => {
    scratch = new Scratch();
    device = new MemoryDevice({ preferredBlobBytes: 1024 * 1024 });
    await scratch.create();
    scratch.write("secret-folder/secret-name.txt", "secret content, quite recognisable");
    scratch.write("secret-folder/large", noise(31, 2_500_000));
    source = scratch.path("secret-folder");
    const repository = await scratch.open([device]);
    await repository.push({ sources: [source], to: "/" });
    await repository.makeDirectory("/second-entry");
    await repository.makeDirectory("/third-entry");
    await repository.close();
  });
  afterEach(async () => {
    await scratch.remove();
  });

  function writerLog(): { id: Uint8Array; entries: Uint8Array[] } {
    for (const log of device.logs.values()) if (log.entries.length === 3) return log;
    throw new Error("no writer's log");
  }

  async function assertTampered(home: string, pattern: RegExp): Promise<void> {
    await assert.rejects(scratch.open([device], { home }), (error) => {
      assert.ok(error instanceof Refusal, String(error));
      assert.equal(error.kind, "logTampered", error.message);
      assert.match(error.message, /^memory: the log of /);
      assert.match(error.message, pattern);
      return true;
    });
  }

  it("sees no name, no content and no key", () => {
    const seen = Buffer.concat([
      ...device.blobs.values(),
      ...[...device.logs.values()].flatMap((log) => log.entries),
    ]);
    for (const text of ["secret", "large", "entry", "folder", PASSPHRASE])
      assert.equal(seen.indexOf(text), -1, text);
    const stored = readFileSync(scratch.path("home/repository/repository.json"), "utf8");
    assert.equal(stored.includes(PASSPHRASE), false);
    for (const file of ["cache/chunks", "heads.json"])
      assert.equal(readFileSync(scratch.path("home/repository", file)).indexOf("secret"), -1, file);
    assert.equal(statSync(scratch.path("home/repository/repository.json")).mode & 0o077, 0);
  });

  it("has its bit flips found, at any byte of any pack, and gets away with none", async () => {
    for (const [key, blob] of [...device.blobs]) {
      const good = Buffer.from(blob);
      const places = new Set([0, 4, 5, 8, 9, 40, blob.length - 1, blob.length - 9, blob.length - 60]);
      for (let i = 1; i < 5; i++) places.add(Math.floor((blob.length * i) / 5));
      for (const at of places) {
        if (at < 0 || at >= blob.length) continue;
        blob[at] = (blob[at] ?? 0) ^ 0x10;
        const outcome = await pullFresh();
        assert.ok(outcome === "same" || outcome === "refused", `${key} at ${String(at)}: ${outcome}`);
        good.copy(blob);
      }
    }
    assert.equal(await pullFresh(), "same");
  }).timeout(120_000);

  it("cannot swap one pack for another, nor move chunks within one", async () => {
    const [one, two] = [...device.blobs.keys()].sort((a, b) => size(b) - size(a));
    const [first, second] = [device.blobs.get(one ?? ""), device.blobs.get(two ?? "")];
    assert.ok(one && two && first && second);
    device.blobs.set(one, second);
    device.blobs.set(two, first);
    assert.equal(await pullFresh(), "refused");
  });

  it("cannot withhold a pack without the file being named", async () => {
    const largest = [...device.blobs.keys()].sort((a, b) => size(b) - size(a))[0] ?? "";
    device.blobs.delete(largest);
    const repository = await scratch.open([device]);
    const report = await repository.pull({ remote: "/secret-folder", to: scratch.path("back") });
    // Where chunks end depends on the keys, so that the small file is in the same pack now and then.
    const named = report.problems.map(({ path }) => path);
    assert.ok(report.problems.every(({ kind }) => kind === "missingBlob"));
    assert.ok(named.includes(scratch.path("back/large")));
    const small = scratch.path("back/secret-name.txt");
    assert.deepEqual(readdirSync(scratch.path("back")), named.includes(small) ? [] : ["secret-name.txt"]);
  });

  it("has every changed byte of an entry found", async () => {
    const log = writerLog();
    for (let entry = 0; entry < 3; entry++) {
      const good = log.entries[entry] ?? new Uint8Array(0);
      for (const at of [
        0,
        1,
        16,
        17,
        40,
        good.length - 90,
        good.length - 17,
        good.length - 16,
        good.length - 1,
      ]) {
        const bad = Uint8Array.from(good);
        bad[at] = (bad[at] ?? 0) ^ 1;
        log.entries[entry] = bad;
        if (at === 0)
          await assert.rejects(scratch.open([device], { home: fresh() }), { kind: "newerVersion" });
        else await assertTampered(fresh(), new RegExp(`entry ${String(entry)}\\)`));
        await assertTampered(scratch.home, /was forked/);
      }
      log.entries[entry] = good;
    }
  }).timeout(60_000);

  it("cannot drop, repeat, exchange or splice entries", async () => {
    const log = writerLog();
    const [a, b, c] = log.entries as [Uint8Array, Uint8Array, Uint8Array];
    for (const entries of [[b, c], [a, c], [a, a, b, c], [a, c, b], [c], [a, b, c, c]]) {
      log.entries = entries;
      await assertTampered(fresh(), /does not verify/);
    }
    log.entries = [a, b, c];
  });

  it("cannot take entries back from a computer that has seen them", async () => {
    const log = writerLog();
    const dropped = log.entries.pop();
    await assertTampered(scratch.home, /was rolled back: it had 3 entries and now has 2 \(entry 2\)/);
    assert.ok(dropped);
    device.logs.delete(Buffer.from(log.id).toString("hex"));
    await assertTampered(scratch.home, /is gone/);
  });

  it("cannot take back what another computer's entry had seen, not even from a newcomer", async () => {
    const other = await scratch.open([device], { home: scratch.path("other") });
    await other.makeDirectory("/by-the-other");
    const log = writerLog();
    log.entries.pop();
    await assertTampered(fresh(), /lacks entries that .* had seen there \(entry 2\)/);
  });

  it("cannot show a fork of this computer's log", async () => {
    const copy = new MemoryDevice();
    for (const [key, blob] of device.blobs) copy.blobs.set(key, blob);
    for (const [key, log] of device.logs) copy.logs.set(key, { id: log.id, entries: [...log.entries] });
    const home = scratch.path("copied-home");
    const { cpSync } = await import("node:fs");
    cpSync(scratch.home, home, { recursive: true });
    await (await scratch.open([copy], { home })).makeDirectory("/one-way");
    await (await scratch.open([device])).makeDirectory("/other-way");
    device.logs.clear();
    for (const [key, log] of copy.logs) device.logs.set(key, log);
    await assertTampered(scratch.home, /was forked/);
  });

  it("cannot give a newcomer keys of its own", async () => {
    for (const log of device.logs.values())
      if (log.entries.length === 1) {
        const slot = Uint8Array.from(log.entries[0] ?? []);
        // 1 TiB of memory for the passphrase, as a hostile parameter.
        slot.set([0x40, 0, 0, 0], 69);
        log.entries = [slot];
      }
    await assert.rejects(scratch.open([device], { home: fresh() }), { kind: "notInitialised" });
  });

  it("leaves a damaged cache without effect", async () => {
    const cache = scratch.path("home/repository/cache");
    for (const damage of ["flip", "truncate", "garbage", "gone"] as const) {
      for (const file of [
        "chunks",
        ...readdirSync(join(cache, "index")).map((name) => join("index", name)),
      ]) {
        const path = join(cache, file);
        if (!existsSync(path)) continue;
        const bytes = readFileSync(path);
        if (damage === "flip")
          for (let at = 10; at < bytes.length; at += 97) bytes[at] = (bytes[at] ?? 0) ^ 1;
        if (damage === "flip") writeFileSync(path, bytes);
        else if (damage === "truncate") truncateSync(path, Math.floor(bytes.length / 2));
        else if (damage === "garbage") writeFileSync(path, noise(3, 5000));
        else rmSync(path);
      }
      const repository = await scratch.open([device]);
      await repository.pull({ remote: "/secret-folder", to: scratch.path("back") });
      assertSameTree(scratch.path("back"), source);
      rmSync(scratch.path("back"), { recursive: true });
      await repository.close();
    }
  });

  it("leaves damaged copies of logs and heads without effect but a warning", async () => {
    const folder = scratch.path("home/repository");
    const log = join(folder, "logs", readdirSync(join(folder, "logs"))[0] ?? "");
    const bytes = readFileSync(log);
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1;
    writeFileSync(log, bytes);
    const repository = await scratch.open([device]);
    assert.deepEqual(
      (await repository.list("/")).map((node) => node.name),
      ["second-entry", "secret-folder", "third-entry"],
    );
    await repository.close();
    writeFileSync(
      join(folder, "heads.json"),
      readFileSync(join(folder, "heads.json"), "utf8").replace('"count":3', '"count":2'),
    );
    await (await scratch.open([device])).makeDirectory("/fourth");
    assert.equal(scratch.warnings.length, 2, scratch.warnings.join("\n"));
  });

  let newcomers = 0;
  function fresh(): string {
    return scratch.path(`newcomer-${String(newcomers++)}`);
  }

  function size(key: string): number {
    return device.blobs.get(key)?.length ?? 0;
  }

  /** What a newcomer gets: the same files, or a refusal; anything else is a defect. */
  async function pullFresh(): Promise<string> {
    const to = scratch.path("pulled");
    try {
      rmSync(scratch.path("home/repository/cache"), { recursive: true, force: true });
      const repository = await scratch.open([device]);
      const report = await repository.pull({ remote: "/secret-folder", to });
      await repository.close();
      if (report.problems.length > 0) return "refused";
      for (const name of readdirSync(source))
        if (hash(join(to, name)) !== hash(join(source, name))) return `${name} is different`;
      return "same";
    } catch (error) {
      return error instanceof Refusal ? "refused" : String(error);
    } finally {
      rmSync(to, { recursive: true, force: true });
    }
  }

  function hash(path: string): string {
    return createHash("sha256").update(readFileSync(path)).digest("hex");
  }
});
