// SPDX-License-Identifier: MIT
/** Chunks opened by a thread: the same plaintexts, nothing that is damaged, and pulls that do not notice. */
import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { setTimeout } from "node:timers/promises";
import { CHUNK_ID_BYTES, ChunkCipher, SEAL_BYTES } from "./chunk-cipher";
import { ChunkOpener } from "./chunk-opener";
import { NOT_OPENED, type OpenedRange, type SealedRange } from "./chunk-opening";
import { ChunkKind, RepositoryKeys } from "./repository-keys";
import { MemoryDevice } from "./testing/memory-device";
import { prose } from "./testing/prose";
import { QUICK_SECRET, Scratch, assertSameTree, noise } from "./testing/scratch";

const KIB = 1024;
const MIB = 1024 * KIB;
const GUARD = 0xdd;

describe("chunks that a thread opens", function () {
  this.timeout(60_000);
  const keys = new RepositoryKeys(noise(2, 32), noise(1, 16));
  const cipher = new ChunkCipher(keys);
  let opener: ChunkOpener;

  before(function () {
    if (availableParallelism() === 1) this.skip();
  });
  beforeEach(async () => {
    opener = new ChunkOpener(keys);
    opener.prepare();
    while (!opener.isReady) await setTimeout(5);
  });
  afterEach(() => {
    opener.close();
  });

  /** One behind the other, an odd number of bytes apart. */
  function range(plaintexts: readonly Uint8Array[], slabBytes: number, usedBytes = 0): SealedRange {
    const room = plaintexts.reduce((sum, { length }) => sum + length + SEAL_BYTES + 3, 0);
    const bytes = new Uint8Array(new SharedArrayBuffer(room));
    const ids = new Uint8Array(plaintexts.length * CHUNK_ID_BYTES);
    const places = new Uint32Array(plaintexts.length * 2);
    let at = 0;
    plaintexts.forEach((plaintext, i) => {
      const id = cipher.id(ChunkKind.data, plaintext);
      const length = cipher.seal(ChunkKind.data, id, plaintext, bytes, at);
      ids.set(id, i * CHUNK_ID_BYTES);
      places.set([at, length], 2 * i);
      at += length + 3;
    });
    const slab = new Uint8Array(new SharedArrayBuffer(slabBytes)).fill(GUARD);
    return { bytes, ids, places, slab, usedBytes };
  }

  function plaintextsOf({ slab }: SealedRange, opened: OpenedRange | undefined): (Buffer | undefined)[] {
    assert.ok(opened);
    return Array.from({ length: opened.places.length / 2 }, (_, i) => {
      const [at = NOT_OPENED, length = 0] = opened.places.subarray(2 * i, 2 * i + 2);
      return at === NOT_OPENED ? undefined : Buffer.from(slab.subarray(at, at + length));
    });
  }

  const several = [
    noise(3, 700 * KIB),
    prose(4, 900 * KIB),
    Buffer.from("x"),
    prose(5, 3000),
    Buffer.alloc(0),
  ];

  it("are what was sealed, behind what is in the slab already", async () => {
    const job = range(several, 2 * MIB, 1001);
    const opened = await opener.open(job);
    assert.deepEqual(plaintextsOf(job, opened), several);
    assert.equal(opened?.usedBytes, 1001 + several.reduce((sum, { length }) => sum + length, 0));
    const { slab } = job;
    assert.ok(slab.subarray(0, 1001).every((byte) => byte === GUARD));
    assert.ok(slab.subarray(opened.usedBytes).every((byte) => byte === GUARD));
  });

  it("are left out one by one when a bit is wrong in them, in their ids or in their epochs", async () => {
    const job = range(several, 2 * MIB);
    const flip = (bytes: Uint8Array, at: number): void => {
      bytes[at] = (bytes[at] ?? 0) ^ 1;
    };
    flip(job.bytes, (job.places[0] ?? 0) + 1000);
    flip(job.ids, 2 * CHUNK_ID_BYTES);
    flip(job.bytes, (job.places[6] ?? 0) + (job.places[7] ?? 0) - 1);
    const opened = plaintextsOf(job, await opener.open(job));
    assert.deepEqual(opened, [undefined, several[1], undefined, undefined, several[4]]);
  });

  it("are left out when there is no room for them, and nothing is written beyond it", async () => {
    const job = range(several, 800 * KIB);
    const beyond = new Uint8Array(job.slab.buffer, 0, 701 * KIB);
    const opened = plaintextsOf(job, await opener.open({ ...job, slab: beyond }));
    assert.deepEqual(opened, [several[0], undefined, several[2], undefined, several[4]]);
    assert.ok(job.slab.subarray(701 * KIB).every((byte) => byte === GUARD));
  });

  it("come in the order in which they were asked for, and not at all when the thread has ended", async () => {
    const jobs = Array.from({ length: 8 }, (_, i) => range([noise(10 + i, (8 - i) * 10 * KIB)], MIB));
    const opened = await Promise.all(jobs.map((job) => opener.open(job)));
    jobs.forEach((job, i) => {
      assert.deepEqual(plaintextsOf(job, opened[i]), [noise(10 + i, (8 - i) * 10 * KIB)]);
    });
    const pending = jobs.map((job) => opener.open(job));
    opener.close();
    await Promise.all(pending);
    assert.equal(await opener.open(range([noise(1, 10)], MIB)), undefined);
    assert.equal(opener.isReady, false);
  });

  it("make a pull whole, in spite of a damaged copy", async () => {
    const scratch = new Scratch(QUICK_SECRET);
    let threads = 0;
    const count = (): void => {
      threads++;
    };
    try {
      await scratch.create();
      scratch.write("tree/noise", noise(30, 9 * MIB));
      scratch.write("tree/text", prose(31, 9 * MIB));
      for (let i = 0; i < 600; i++) scratch.write(`tree/many/${String(i)}`, prose(100 + i, 500 + 20 * i));
      const devices = ["one", "two"].map((name) => new MemoryDevice({ name, preferredBlobBytes: 4 * MIB }));
      const [one, two] = devices as [MemoryDevice, MemoryDevice];
      const writer = await scratch.open(devices);
      await writer.push({ sources: [scratch.path("tree")], to: "/" });
      // Slow enough for the thread to be there.
      one.onCall = two.onCall = () => setTimeout(10);
      const largest = [...one.blobs].sort(([, a], [, b]) => b.length - a.length).slice(0, 4);
      for (const [key, blob] of largest) {
        const damaged = Buffer.from(blob);
        for (let at = 1000; at < blob.length - 4096; at += 300 * KIB)
          damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
        one.blobs.set(key, damaged);
      }
      process.on("worker", count);
      const whole = await scratch.open(devices, { home: scratch.path("whole") });
      const { problems } = await whole.pull({ remote: "/tree", to: scratch.path("back") });
      assert.deepEqual(problems, []);
      assertSameTree(scratch.path("back"), scratch.path("tree"));
      assert.equal(threads, 1);

      // Alone, the damaged device has what it has: nothing wrong is written, and what is missing is named.
      const poor = await scratch.open([one], { home: scratch.path("poor"), forgetDevices: ["two"] });
      const report = await poor.pull({ remote: "/tree", to: scratch.path("poor-back") });
      assert.ok(report.problems.length > 0);
      assert.ok(report.problems.every(({ kind }) => kind === "corruptedBlob"));
      assert.equal(report.files + report.problems.length, 602);
      assert.equal(threads, 2);
    } finally {
      process.off("worker", count);
      await scratch.remove();
    }
  });
});
