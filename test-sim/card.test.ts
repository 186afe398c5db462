// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { StorageFile } from "../firmware/core/io";
import { SimCard } from "./card";
import { PowerCut } from "./power-cut";
import { SeededRandom } from "./seeded-random";

const SECTOR = 512;
const bytesOf = (length: number, value: number) => new Uint8Array(length).fill(value);

function flushed(file: StorageFile): Promise<void> {
  return new Promise((resolve, reject) => {
    file.flush((error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

async function putFile(card: SimCard, path: string, bytes: Uint8Array): Promise<StorageFile> {
  const file = card.openFile(path, "create");
  file.allocate(bytes.length);
  file.write(bytes, 0);
  await flushed(file);
  return file;
}

function contentOf(card: SimCard, path: string): Uint8Array | undefined {
  try {
    const file = card.openFile(path, "read");
    const bytes = new Uint8Array(file.sizeBytes);
    file.read(bytes, 0);
    file.close();
    return bytes;
  } catch (error) {
    if ((error as { code?: string }).code === "notFound") return undefined;
    throw error;
  }
}

function namesOn(card: SimCard): string[] {
  const scan = card.scan("");
  const names: string[] = [];
  for (let entry = scan.next(); entry; entry = scan.next()) names.push(entry.name);
  return names.sort();
}

/** One random life of a card: what it promised (by a completed flush) and what it was asked to write since. */
class Life {
  readonly promised = new Map<string, Uint8Array>();
  readonly touched = new Map<string, Set<number>>();

  async run(card: SimCard, seed: number, steps: number): Promise<void> {
    const random = new SeededRandom(seed);
    const open = new Map<string, StorageFile>();
    for (let step = 0; step < steps; step++) {
      const path = `f${String(random.below(4))}.bin`;
      let file = open.get(path);
      if (file === undefined) {
        file = card.openFile(path, "create");
        open.set(path, file);
        this.touched.set(path, new Set());
      }
      if (random.oneIn(3)) {
        const covered = file.sizeBytes;
        await flushed(file);
        const bytes = new Uint8Array(covered);
        file.read(bytes, 0);
        this.promised.set(path, bytes);
        this.touched.set(path, new Set());
      } else if (random.oneIn(3) || file.sizeBytes === 0) {
        file.allocate(file.sizeBytes + 1 + random.below(3000));
      } else {
        const at = random.below(file.sizeBytes);
        const bytes = new Uint8Array(Math.min(file.sizeBytes - at, 1 + random.below(1500)));
        random.fill(bytes);
        for (let s = Math.floor(at / SECTOR); s * SECTOR < at + bytes.length; s++)
          this.touched.get(path)?.add(s);
        file.write(bytes, at);
      }
    }
  }

  check(card: SimCard, label: string): void {
    for (const [path, bytes] of this.promised) {
      const found = contentOf(card, path);
      assert.ok(found, `${label}: ${path} is gone`);
      assert.ok(found.length >= bytes.length, `${label}: ${path} shrank to ${String(found.length)}`);
      for (let s = 0; s * SECTOR < bytes.length; s++) {
        if (this.touched.get(path)?.has(s)) continue;
        const end = Math.min(bytes.length, (s + 1) * SECTOR);
        const isSame = Buffer.compare(bytes.subarray(s * SECTOR, end), found.subarray(s * SECTOR, end)) === 0;
        assert.ok(isSame, `${label}: sector ${String(s)} of ${path} changed`);
      }
    }
  }
}

describe("SimCard", () => {
  it("keeps what a completed flush made durable, wherever the power is cut", async function () {
    this.timeout(60_000);
    const steps = 60;
    for (let seed = 1; seed <= 5; seed++) {
      const whole = new SimCard({ seed });
      await new Life().run(whole, seed, steps);
      for (let n = 1; n <= whole.writes; n++) {
        const card = new SimCard({ seed: seed * 1000 + n });
        card.cutAtWrite(n);
        const life = new Life();
        // A flush that the power interrupts never ends, so the life is left where it stands.
        const cut = new Promise<void>((resolve) => (card.onPowerCut = resolve));
        await Promise.race([
          cut,
          life.run(card, seed, steps).catch((error: unknown) => {
            assert.ok(error instanceof PowerCut, String(error));
          }),
        ]);
        assert.equal(card.isPowered, false, `seed ${String(seed)}: no cut at write ${String(n)}`);
        card.powerOn();
        life.check(ignoringBrokenChains(card), `seed ${String(seed)}, cut at write ${String(n)}`);
      }
    }
  });

  it("gives the same outcome for the same seed and another for another", async () => {
    const outcome = async (seed: number) => {
      const card = new SimCard({ seed });
      await new Life().run(card, 7, 50);
      card.cutPower();
      card.powerOn();
      return namesOn(card)
        .map((name) => {
          try {
            return `${name} ${Buffer.from(contentOf(card, name) ?? []).toString("hex")}`;
          } catch (error) {
            return `${name} ${String(error)}`;
          }
        })
        .join("\n");
    };
    assert.equal(await outcome(3), await outcome(3));
    const outcomes = new Set(await Promise.all([1, 2, 3, 4, 5, 6].map(outcome)));
    assert.ok(outcomes.size >= 5, `${String(outcomes.size)} different outcomes of 6`);
  });

  it("loses, keeps or tears a sector that was not flushed", async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const card = new SimCard({ seed });
      const file = await putFile(card, "a.bin", bytesOf(SECTOR, 1));
      file.write(bytesOf(SECTOR, 2), 0);
      card.cutPower();
      card.powerOn();
      const values = new Set(contentOf(card, "a.bin"));
      seen.add(values.size > 1 ? "torn" : values.has(1) ? "old" : "new");
      for (const value of values) assert.ok(value === 1 || value === 2, "a byte that nobody wrote");
    }
    assert.deepEqual([...seen].sort(), ["new", "old", "torn"]);
  });

  it("decides for each sector by itself", async () => {
    const card = new SimCard({ seed: 5 });
    const file = await putFile(card, "a.bin", bytesOf(64 * SECTOR, 1));
    file.write(bytesOf(64 * SECTOR, 2), 0);
    card.cutPower();
    card.powerOn();
    const found = contentOf(card, "a.bin") ?? new Uint8Array();
    const sectors = Array.from(
      { length: 64 },
      (_, s) => new Set(found.subarray(s * SECTOR, (s + 1) * SECTOR)),
    );
    assert.ok(sectors.some((values) => values.size === 1 && values.has(1)));
    assert.ok(sectors.some((values) => values.size === 1 && values.has(2)));
    assert.ok(sectors.some((values) => values.size === 2));
  });

  it("may lose a file that was never flushed, or show it short, stale, unreadable, or under its alias", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 300; seed++) {
      const card = new SimCard({ seed, clusterBytes: 1024 });
      const file = card.openFile("long-name-of-a-file.bin", "create");
      file.allocate(8 * SECTOR);
      file.write(bytesOf(8 * SECTOR, 3), 0);
      card.cutPower();
      card.powerOn();
      const names = namesOn(card);
      if (names.length === 0) seen.add("lost");
      else if (names[0] !== "long-name-of-a-file.bin") seen.add(`alias ${String(names[0])}`);
      else {
        try {
          const found = contentOf(card, "long-name-of-a-file.bin") ?? new Uint8Array();
          if (found.length < 8 * SECTOR) seen.add("short");
          else seen.add(found.every((value) => value === 3) ? "whole" : "stale");
        } catch (error) {
          seen.add((error as { code?: string }).code ?? "?");
        }
      }
    }
    assert.deepEqual([...seen].sort(), ["alias longna~1.bin", "io", "lost", "short", "stale"]);
  });

  it("may bring a removed file back, never half of it", async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const card = new SimCard({ seed });
      (await putFile(card, "a.bin", bytesOf(SECTOR, 1))).close();
      card.remove("a.bin");
      card.cutPower();
      card.powerOn();
      const found = contentOf(card, "a.bin");
      seen.add(found === undefined ? "gone" : "back");
      if (found) assert.ok(found.every((value) => value === 1));
    }
    assert.deepEqual([...seen].sort(), ["back", "gone"]);
  });

  it("keeps a folder that was made", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const card = new SimCard({ seed });
      card.createDirectory("one");
      card.createDirectory("one/two");
      (await putFile(card, "one/two/a.bin", bytesOf(10, 1))).close();
      card.cutPower();
      card.powerOn();
      assert.equal(contentOf(card, "one/two/a.bin")?.length, 10);
    }
  });

  it("is dead after the cut, for handles of before even when the power is back", async () => {
    const card = new SimCard();
    const file = await putFile(card, "a.bin", bytesOf(10, 1));
    card.cutPower();
    assert.throws(() => card.space(), PowerCut);
    card.powerOn();
    assert.throws(() => file.read(new Uint8Array(1), 0), /was open when/);
    assert.equal(contentOf(card, "a.bin")?.length, 10);
  });

  it("does not end a flush that the power interrupted", async () => {
    const card = new SimCard();
    const file = card.openFile("a.bin", "create");
    let calls = 0;
    file.flush(() => calls++);
    card.cutPower();
    card.powerOn();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(calls, 0);
  });

  it("fills up, refuses, and takes back what is removed", async () => {
    const card = new SimCard({ capacityBytes: 64 * 1024, clusterBytes: 4096 });
    const file = await putFile(card, "a.bin", bytesOf(30 * 1024, 1));
    const free = card.space().freeBytes;
    assert.throws(
      () => {
        file.allocate(30 * 1024 + free + 4096);
      },
      { code: "full" },
    );
    assert.equal(file.sizeBytes, 30 * 1024);
    file.allocate(32 * 1024 + free);
    assert.equal(card.space().freeBytes, 0);
    await flushed(file);
    file.close();
    card.remove("a.bin");
    assert.equal(card.space().freeBytes, free + 32 * 1024);
  });

  it("refuses writes when it is read-only, and reports through done what a flush cannot do", async () => {
    const card = new SimCard();
    const file = await putFile(card, "a.bin", bytesOf(10, 1));
    card.isReadOnly = true;
    assert.throws(
      () => {
        file.write(bytesOf(1, 2), 0);
      },
      { code: "readOnly" },
    );
    assert.throws(() => card.openFile("b.bin", "create"), { code: "readOnly" });
    assert.equal(contentOf(card, "a.bin")?.length, 10);
    await assert.rejects(flushed(file), { code: "readOnly" });
    card.isReadOnly = false;
    await flushed(file);
  });

  it("fails at the operation it is told to, once", async () => {
    const card = new SimCard();
    const file = await putFile(card, "a.bin", bytesOf(10, 1));
    card.failAtOperation(2);
    file.write(bytesOf(1, 2), 0);
    assert.throws(
      () => {
        file.write(bytesOf(1, 3), 0);
      },
      { code: "io" },
    );
    file.write(bytesOf(1, 4), 0);
    card.failAtOperation(2); // the end of the flush
    await assert.rejects(flushed(file), { code: "io" });
  });

  it("can be pulled out of its slot and put back", async () => {
    const card = new SimCard();
    const file = await putFile(card, "a.bin", bytesOf(10, 1));
    let failure: unknown;
    file.flush((error) => (failure = error));
    card.eject();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal((failure as { code?: string }).code, "noCard");
    assert.throws(() => card.space(), { code: "noCard" });
    card.insert();
    assert.throws(() => file.read(new Uint8Array(1), 0), { code: "io" });
    assert.equal(contentOf(card, "a.bin")?.length, 10);
  });

  it("changes stored bits when told to", async () => {
    const card = new SimCard();
    (await putFile(card, "a.bin", bytesOf(1000, 1))).close();
    card.corrupt("a.bin", 600, 0x80);
    assert.equal(contentOf(card, "a.bin")?.[600], 0x81);
    assert.throws(() => {
      card.corrupt("a.bin", 1000);
    }, RangeError);
  });

  it("copies what is durable, for the next run of a crash test", async () => {
    const card = new SimCard();
    card.createDirectory("one");
    const file = await putFile(card, "one/a.bin", bytesOf(1000, 1));
    file.write(bytesOf(1000, 2), 0);
    const copy = card.copy({ seed: 9 });
    assert.deepEqual(contentOf(copy, "one/a.bin"), bytesOf(1000, 1));
    copy.remove("one/a.bin");
    assert.deepEqual(contentOf(card, "one/a.bin"), bytesOf(1000, 2));
  });

  it("lives in a folder of the host from process to process", async () => {
    const folder = mkdtempSync(join(tmpdir(), "coffer-card-"));
    try {
      const first = new SimCard({ folder });
      first.createDirectory("one");
      const file = await putFile(first, "one/a.bin", bytesOf(1000, 1));
      file.write(bytesOf(1000, 2), 0); // never flushed: a killed process takes it along
      (await putFile(first, "b.bin", bytesOf(10, 3))).close();
      first.remove("b.bin");
      (await putFile(first, "b.bin", bytesOf(20, 4))).close();
      const second = new SimCard({ folder });
      assert.deepEqual(contentOf(second, "one/a.bin"), bytesOf(1000, 1));
      assert.deepEqual(contentOf(second, "b.bin"), bytesOf(20, 4));
      assert.deepEqual(readdirSync(folder).sort(), ["b.bin", "one"]);
      second.remove("b.bin");
      second.cutPower();
      second.powerOn();
      assert.deepEqual(namesOn(second), namesOn(new SimCard({ folder })));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** A broken chain concerns only what was never flushed: reading what was promised must still work. */
function ignoringBrokenChains(card: SimCard): SimCard {
  const open = card.openFile.bind(card);
  card.openFile = (path, mode) => {
    const file = open(path, mode);
    return {
      ...file,
      get sizeBytes() {
        return file.sizeBytes;
      },
      read: (into, position) => {
        let count = 0;
        for (let at = 0; at < into.length; at += SECTOR) {
          try {
            count += file.read(into.subarray(at, at + SECTOR), position + at);
          } catch (error) {
            if ((error as { code?: string }).code !== "io") throw error;
            break;
          }
        }
        return count;
      },
      close: () => {
        file.close();
      },
    };
  };
  return card;
}
