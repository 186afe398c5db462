// SPDX-License-Identifier: MIT
/** Pushes of what compresses: less is stored, and what is interrupted goes on, also with another compressor. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync } from "node:fs";
import { ChunkCipher } from "./chunk-cipher";
import { ChunkEncoder } from "./chunk-encoding";
import { ChunkIndex } from "./chunk-index";
import { PushJournal } from "./journal";
import { PackUploader } from "./pack-uploader";
import { ChunkKind, RepositoryKeys } from "./repository-keys";
import { Repository } from "./repository";
import { MemoryDevice, lost } from "./testing/memory-device";
import { prose } from "./testing/prose";
import { PASSPHRASE, Scratch, assertSameTree, noise } from "./testing/scratch";

const MIB = 1024 * 1024;

describe("pushes of what compresses", function () {
  this.timeout(60_000);
  let scratch: Scratch;

  beforeEach(async () => {
    scratch = new Scratch();
    await scratch.create();
  });
  afterEach(async () => {
    await scratch.remove();
  });

  async function push(home: string, devices: MemoryDevice[]): Promise<void> {
    const repository = await Repository.open({ home, passphrase: PASSPHRASE, computer: "tests", devices });
    try {
      await repository.push({ sources: [scratch.path("tree")], to: "/" });
    } finally {
      await repository.close();
    }
  }

  async function check(device: MemoryDevice): Promise<void> {
    const fresh = await scratch.open([device], { home: scratch.path(`fresh-${device.name}`) });
    const report = await fresh.pull({ remote: "/tree", to: scratch.path("back", device.name) });
    assert.deepEqual(report.problems, []);
    assertSameTree(scratch.path("back", device.name), scratch.path("tree"));
  }

  function writeTree(): number {
    let bytes = 0;
    const write = (path: string, content: Buffer): void => {
      scratch.write(path, content);
      bytes += content.length;
    };
    write("tree/book", prose(1, 14 * MIB));
    for (let i = 0; i < 300; i++) write(`tree/pages/page ${String(i)}`, prose(100 + i, 2000 + i * 10));
    return bytes;
  }

  it("store less than 60 % of text, also in packs that a thread seals", async () => {
    const bytes = writeTree();
    const device = new MemoryDevice({ preferredBlobBytes: 8 * MIB });
    await push(scratch.home, [device]);
    assert.ok(device.usedBytes < 0.6 * bytes, `${String(device.usedBytes)} of ${String(bytes)}`);
    await check(device);
  });

  it("complete the packs that were interrupted, bit for bit", async () => {
    writeTree();
    cpSync(scratch.home, scratch.path("copy"), { recursive: true });
    const whole = new MemoryDevice({ name: "whole", preferredBlobBytes: MIB });
    await push(scratch.path("copy"), [whole]);
    const before = new MemoryDevice({ name: "before", preferredBlobBytes: MIB });
    before.beforeCall = (verb) => (verb === "put" ? { putBytes: 100_000 } : undefined);
    await assert.rejects(push(scratch.home, [before]));
    const partial = [...before.partial.keys()];
    assert.ok(partial.length > 0);
    before.beforeCall = undefined;
    await push(scratch.home, [before]);
    for (const id of partial) assert.ok(before.blobs.has(id), "the interrupted upload is the one completed");
    // Where the others begin depends on which had their place in the journal when it ended.
    assert.ok(before.usedBytes < whole.usedBytes * 1.01, "nothing is stored twice");
    await check(before);
  });

  it("come through when the device wants smaller packs than those that were interrupted", async () => {
    writeTree();
    const device = new MemoryDevice({ preferredBlobBytes: 10 * MIB });
    device.beforeCall = (verb) => (verb === "put" ? { putBytes: 100_000 } : undefined);
    await assert.rejects(push(scratch.home, [device]));
    device.beforeCall = undefined;
    // What fits into the buffers of such packs sealed does not fit before it is compressed.
    device.preferredBlobBytes = MIB;
    await push(scratch.home, [device]);
    await check(device);
  });

  it("store a pack that another version of the compressor began as one of another id", async () => {
    const keys = new RepositoryKeys(noise(2, 32), noise(1, 16));
    const chunks = [prose(5, 300_000), noise(6, 100_000), prose(7, 200_000)];
    const folder = scratch.path("journal");
    mkdirSync(folder);
    const one = new MemoryDevice({ name: "one" });
    const two = new MemoryDevice({ name: "two" });
    const attempt = async (level: number): Promise<ChunkIndex> => {
      const cipher = new ChunkCipher(keys, new ChunkEncoder(level));
      const journal = PushJournal.open(folder);
      const index = new ChunkIndex({ folder });
      const options = {
        keys,
        cipher,
        index,
        journal,
        targetBytes: MIB,
        variant: 0,
        onWarning: (text: string) => assert.fail(text),
      };
      const uploader = new PackUploader({ ...options, targets: [one, two] });
      try {
        await uploader.resume(journal.left.packs());
        for (const plaintext of chunks)
          await uploader.offer(ChunkKind.data, cipher.id(ChunkKind.data, plaintext), plaintext);
        await uploader.flush();
        return index;
      } catch (error) {
        await uploader.abandon();
        throw error;
      } finally {
        journal.close();
      }
    };
    two.beforeCall = (verb) => {
      if (verb === "put") return { putBytes: 50_000 };
      return undefined;
    };
    await assert.rejects(attempt(1), { message: lost().message });
    const [begun] = two.partial.keys();
    assert.ok(begun !== undefined && one.blobs.has(begun) && two.blobs.size === 0);
    two.beforeCall = undefined;
    const index = await attempt(7);
    assert.equal(one.blobs.size, 1, "what one has is not sent to it again");
    assert.equal(two.blobs.size, 1);
    assert.ok(!two.blobs.has(begun), "another compressor makes other bytes");
    const cipher = new ChunkCipher(keys);
    for (const device of [one, two])
      for (const plaintext of chunks) {
        const id = cipher.id(ChunkKind.data, plaintext);
        const place = index.locations(ChunkKind.data, id).find(({ pack }) => pack.devices.has(device.name));
        assert.ok(place);
        const sealed = await device.get(place.pack.id, place.offsetBytes, place.sealedBytes);
        assert.deepEqual(cipher.open(ChunkKind.data, id, sealed), plaintext);
      }
  });
});
