// SPDX-License-Identifier: MIT
/** Repositories that others have written on: a newer Coffer, or one with a defect. */
import assert from "node:assert/strict";
import type { MemoryDevice } from "../testing/memory-device";
import { Scratch } from "../testing/scratch";
import { type Fixture, devicesOf, keySecretOf, loadFixture } from "./fixture";
import { type Newer, writeNewer, writeUndecodable } from "./newer-writer";
import { contentsOf, firstSecret, openSecond, readAll, refusesAs } from "./readings";

describe("what a newer Coffer wrote", () => {
  const fixture = loadFixture("versions");
  let scratch: Scratch;

  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.remove());

  async function written(newer?: Newer): Promise<MemoryDevice[]> {
    const devices = devicesOf(fixture);
    assert.ok(devices[0]);
    await writeNewer(devices[0], firstSecret(fixture), newer);
    return devices;
  }

  const open = (devices: MemoryDevice[]) =>
    scratch.open(devices, { passphrase: keySecretOf(firstSecret(fixture)) });

  it("is read as long as nothing in it has a new version", async () => {
    const devices = await written();
    await readAll(devices, fixture);
    const repository = await open(devices);
    assert.deepEqual(await repository.list("/"), []);
    assert.ok((await repository.verify({ readPercent: 100 })).isWhole);
    await repository.makeDirectory("/on-top-of-it");
    await readAll(devices, fixture);
  });

  for (const newer of [
    "entry",
    "body",
    "detail",
    "operation",
    "folder",
    "chunk",
    "pack",
    "index blob",
  ] as const)
    it(`is refused by name and not taken for damage: ${newer}`, async () => {
      const devices = await written(newer);
      // Nobody needs a pack's own index who has the repository's.
      const read = newer === "pack" ? readPacksAlone : readAll;
      await assert.rejects(read(devices, fixture), refusesAs("newerVersion"));
      const stored = devices.map(({ blobs }) => blobs.size);
      const verified = open(devices).then((repository) => repository.verify({ readPercent: 100 }));
      await assert.rejects(verified, { kind: "newerVersion" });
      const repaired = open(devices).then((repository) => repository.repair({ readPercent: 100 }));
      await assert.rejects(repaired, { kind: "newerVersion" });
      assert.deepEqual(
        devices.map(({ blobs }) => blobs.size),
        stored,
      );
    });
});

describe("a folder that is sealed and signed as it should be and does not decode", () => {
  const fixture = loadFixture("versions");
  let scratch: Scratch;

  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.remove());

  async function written(): Promise<MemoryDevice[]> {
    const devices = devicesOf(fixture);
    assert.ok(devices[0]);
    await writeUndecodable(devices[0], firstSecret(fixture));
    return devices;
  }

  it("is damage, with its path and the versions that have it", async () => {
    const devices = await written();
    await assert.rejects(readAll(devices, fixture), refusesAs("damaged"));
    const repository = await scratch.open(devices, { passphrase: keySecretOf(firstSecret(fixture)) });
    await assert.rejects(repository.list("/broken"), { kind: "corruptedBlob" });
    const { id } = await repository.versions.find("latest");
    const { isWhole, damage } = await repository.verify();
    assert.equal(isWhole, false);
    const [file, ...others] = damage.files;
    assert.deepEqual(others, []);
    assert.deepEqual(
      [file?.path, file?.type, file?.state, file?.versions, file?.newest, file?.isCurrent],
      ["/broken", "directory", "lost", 1, id, true],
    );
    assert.deepEqual(
      damage.versions.map((version) => [version.id, version.files]),
      [[id, 1]],
    );
  });

  it("is nothing that a repair can mend, and everything else stays", async () => {
    const devices = await written();
    const repository = await scratch.open(devices, { passphrase: keySecretOf(firstSecret(fixture)) });
    const stored = devices.map(({ blobs }) => [...blobs.keys()].sort());
    const { isWhole } = await repository.repair({ readPercent: 100 });
    assert.equal(isWhole, false);
    assert.deepEqual(
      devices.map(({ blobs }) => [...blobs.keys()].sort()),
      stored,
    );
  });
});

async function readPacksAlone(devices: MemoryDevice[], fixture: Fixture): Promise<void> {
  const reader = await openSecond(devices, firstSecret(fixture));
  for (const device of devices) reader.packsAlone(contentsOf(device));
}
