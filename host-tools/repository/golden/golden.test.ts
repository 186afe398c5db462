// SPDX-License-Identifier: MIT
/** Repositories that were written once: read by today's code, by a reader that has only the document, and written on. */
import assert from "node:assert/strict";
import type { MemoryDevice } from "../testing/memory-device";
import { Scratch } from "../testing/scratch";
import { sha256 } from "./expected-tree";
import { type Expected, type Fixture, devicesOf, fixtureNames, keySecretOf, loadFixture } from "./fixture";
import {
  RepositoryReading,
  assertTree,
  contentsOf,
  firstSecret,
  openSecond,
  refusesAs,
  secondTree,
} from "./readings";
import type { SecondReader } from "./second-reader";

describe("golden repositories", () => {
  let scratch: Scratch;

  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.remove());

  for (const name of fixtureNames()) {
    const fixture = loadFixture(name);
    const { expected } = fixture;
    const kept = expected.versions.filter(({ isForgotten }) => !isForgotten);

    describe(`${name} (${fixture.about})`, () => {
      it("is whole, and is read as it was written", async () => {
        const repository = await openFirst(devicesOf(fixture), fixture);
        const { isWhole, damage } = await repository.verify({ readPercent: 100 });
        assert.ok(isWhole, JSON.stringify(damage));
        const reading = new RepositoryReading(repository, scratch.path("pulled"));
        assertTree(await reading.tree(), expected.present, "now");
        const found: string[] = [];
        const tags: Record<string, string> = {};
        for await (const { id, tags: names } of repository.versions.log()) {
          found.push(id);
          for (const tag of names) tags[tag] = id;
        }
        assert.deepEqual(found.sort(), kept.map(({ id }) => id).sort());
        assert.deepEqual(tags, expected.tags);
        for (const { id, tree } of kept) assertTree(await reading.tree(id), tree, id);
      });

      it("is read alike by one who knows the document only", async () => {
        const devices = devicesOf(fixture);
        const reader = await openSecond(devices, firstSecret(fixture));
        assertReading(reader, expected);
        assertHeads(reader, expected);
        assertPacks(reader, expected);
        for (const device of devices.map(contentsOf)) {
          const alone = reader.packsAlone(device);
          for (const [id, { chunks, devices: holders }] of reader.packs)
            if (holders.has(device.name)) assert.deepEqual(alone.get(id), chunks);
        }
      });

      it("takes a change, and both readers see it and everything before", async () => {
        const devices = devicesOf(fixture);
        const repository = await openFirst(devices, fixture);
        const source = scratch.write("added/new", "by today's code");
        await repository.push({ sources: [source], to: "/added" });
        const reading = new RepositoryReading(repository, scratch.path("pulled"));
        for (const { id, tree } of kept) assertTree(await reading.tree(id), tree, id);
        const reader = await openSecond(devices, firstSecret(fixture));
        const { id } = await repository.versions.find("latest");
        const [head] = reader.heads;
        assert.ok(head && reader.heads.length === 1, "whoever writes settles what was not");
        const [tree, root] = [
          secondTree(reader, head),
          reader.versions.find((version) => version.id === id)?.root,
        ];
        assert.deepEqual(root && secondTree(reader, root), tree);
        assert.deepEqual(await reading.tree(), tree);
        const { "/added": folder, "/added/new": file, ...before } = tree;
        assert.ok(folder?.type === "folder" && file?.type === "file");
        assert.equal(file.sha256, sha256("by today's code"));
        assertTree(before, expected.present, "all else");
        assert.equal(reader.versions.length, expected.versions.length + 1);
        assertReading(reader, { ...expected, versions: kept });
      });
    });
  }

  it("open with each of their secrets, and not with one that was removed", async () => {
    const fixture = loadFixture("keys");
    for (const secret of fixture.secrets) {
      assertReading(await openSecond(devicesOf(fixture), secret), fixture.expected);
      const home = scratch.path(`home-${secret.kind}-${secret.value}`);
      const repository = await scratch.open(devicesOf(fixture), { home, passphrase: keySecretOf(secret) });
      assert.equal(repository.keyAdministration.epoch, 2);
    }
    for (const secret of fixture.removedSecrets) {
      const opened = scratch.open(devicesOf(fixture), { passphrase: keySecretOf(secret) });
      await assert.rejects(opened, { kind: "wrongPassphrase" });
      await assert.rejects(openSecond(devicesOf(fixture), secret), refusesAs("secret"));
    }
  });

  async function openFirst(devices: MemoryDevice[], fixture: Fixture) {
    return scratch.open(devices, { passphrase: keySecretOf(firstSecret(fixture)), computer: "today" });
  }
});

function assertReading(reader: SecondReader, expected: Expected): void {
  for (const { id, isForgotten, tree } of expected.versions) {
    const version = reader.versions.find((one) => one.id === id);
    assert.ok(version, `there is no version ${id}`);
    assert.equal(version.isForgotten, isForgotten, id);
    if (!isForgotten) assertTree(secondTree(reader, version.root), tree, id);
  }
  assert.deepEqual(Object.fromEntries(reader.tags), expected.tags);
}

function assertHeads(reader: SecondReader, expected: Expected): void {
  assert.equal(reader.versions.length, expected.versions.length);
  assert.equal(reader.heads.length, expected.heads.length);
  reader.heads.forEach((head, at) => {
    assertTree(secondTree(reader, head), expected.heads[at] ?? {}, `head ${String(at)}`);
  });
}

function assertPacks({ packs, condemned }: SecondReader, expected: Expected): void {
  assert.equal([...packs.keys()].filter((id) => condemned.has(id)).length, expected.condemnedPacks);
  for (const id of expected.droppedPacks) assert.ok(!packs.has(id), "a pack was dropped");
  for (const { device, pack } of expected.lostPacks)
    assert.equal(packs.get(pack)?.devices.has(device), false, "a device has lost a pack");
}
