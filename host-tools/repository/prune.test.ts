// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { MemoryDevice } from "./testing/memory-device";
import { Scratch } from "./testing/scratch";

describe("prune", () => {
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
});
