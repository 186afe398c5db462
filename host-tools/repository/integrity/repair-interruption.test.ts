// SPDX-License-Identifier: MIT
/** Cuts a repair at every call that changes a device, and starts over with what is left on disk and devices. */
import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { Refusal } from "../../refusal";
import { MemoryDevice, lost } from "../testing/memory-device";
import { Scratch, noise, QUICK_SECRET } from "../testing/scratch";

const MIB = 1024 * 1024;
type Stored = readonly [blobs: MemoryDevice["blobs"], logs: MemoryDevice["logs"]];

describe("an interrupted repair", function () {
  this.timeout(120_000);
  let scratch: Scratch;

  beforeEach(async () => {
    scratch = new Scratch(QUICK_SECRET);
    await scratch.create();
  });
  afterEach(async () => {
    await scratch.remove();
  });

  function copyOf(name: string, [blobs, logs]: Stored): MemoryDevice {
    const device = new MemoryDevice({ name, preferredBlobBytes: MIB });
    for (const [key, blob] of blobs) device.blobs.set(key, Buffer.from(blob));
    for (const [key, { id, entries }] of logs) device.logs.set(key, { id, entries: [...entries] });
    return device;
  }

  it("loses nothing, and the next one finishes it", async () => {
    scratch.write("tree/large", noise(51, 2_500_000));
    scratch.write("tree/small", "small");
    const tree = scratch.path("tree");
    const [attic, cellar] = [
      new MemoryDevice({ name: "attic", preferredBlobBytes: MIB }),
      new MemoryDevice({ name: "cellar", preferredBlobBytes: MIB }),
    ];
    const start = await scratch.open([attic, cellar]);
    await start.push({ sources: [tree], to: "/" });
    const [first, second] = [...attic.blobs.keys()].filter((key) => attic.blobs.get(key)?.[5] === 0);
    assert.ok(first !== undefined && second !== undefined);
    // One can be copied, the other has to be made again.
    attic.blobs.delete(first);
    for (const { blobs } of [attic, cellar]) {
      const blob = Buffer.from(blobs.get(second) ?? []);
      blob[1000] = (blob[1000] ?? 0) ^ 1;
      blobs.set(second, blob);
    }
    assert.equal((await start.verify({ readPercent: 100 })).damage.packs.length, 3);
    await start.close();

    let cuts = 0;
    for (let isDone = false; !isDone; cuts++) {
      const home = scratch.path(`home-${String(cuts)}`);
      cpSync(scratch.home, home, { recursive: true });
      const devices = [
        copyOf("attic", [attic.blobs, attic.logs]),
        copyOf("cellar", [cellar.blobs, cellar.logs]),
      ];
      const repository = await scratch.open(devices, { home });
      let calls = 0;
      for (const device of devices)
        device.beforeCall = (verb) => {
          // What only asks changes nothing; after the cut nothing is reached any more.
          if (["put", "delete", "logAppend"].includes(verb)) calls++;
          if (calls > cuts) throw lost();
          return undefined;
        };
      try {
        await repository.repair({ paths: [tree] });
        isDone = true;
      } catch (error) {
        assert.ok(error instanceof Refusal, String(error));
      }
      for (const device of devices) device.beforeCall = undefined;
      await repository.close();
      const next = await scratch.open(devices, { home });
      const report = await next.repair({ paths: [tree] });
      assert.equal(report.isWhole, true, `cut ${String(cuts)}: ${JSON.stringify(report)}`);
      assert.equal((await next.verify({ readPercent: 100 })).isWhole, true, `cut ${String(cuts)}`);
      await next.close();
      rmSync(home, { recursive: true });
    }
    assert.ok(cuts > 8, String(cuts));
  });
});
