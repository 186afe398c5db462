// SPDX-License-Identifier: MIT
/** Repositories that were written once: read by today's code, by a reader that has only the document, and written on. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { MemoryDevice } from "../testing/memory-device";
import { Scratch } from "../testing/scratch";
import { sha256 } from "./expected-tree";
import { type Expected, type Fixture, devicesOf, fixtureNames, keySecretOf, loadFixture } from "./fixture";
import { type Newer, writeNewer } from "./newer-writer";
import { RepositoryReading, assertTree, contentsOf, openSecond, secondTree } from "./readings";
import { Refused, type SecondReader } from "./second-reader";

type Reason = Refused["reason"];
type MemoryLog = NonNullable<ReturnType<MemoryDevice["logs"]["get"]>>;

const refusesAs = (reason: Reason) => (error: unknown) => error instanceof Refused && error.reason === reason;

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

describe("the second reader", () => {
  it("shares no code with the repository", () => {
    const sources = readdirSync(import.meta.dirname).filter((file) => file.startsWith("second-reader"));
    assert.ok(sources.length > 1);
    for (const source of sources)
      for (const [, from = ""] of readFileSync(join(import.meta.dirname, source), "utf8").matchAll(
        / from "([^"]+)"/g,
      ))
        assert.match(from, /^(node:|@|cborg$|\.\/second-reader)/, source);
  });

  it("refuses a flipped bit in any blob", async () => {
    const fixture = loadFixture("files");
    const blobs = devicesOf(fixture).flatMap((device) => [...device.blobs.keys()]);
    for (const id of blobs) {
      const devices = devicesOf(fixture);
      for (const device of devices) flip(device.blobs.get(id));
      await assert.rejects(readAll(devices, fixture), refusesAs("damaged"), id);
    }
  });

  it("refuses a flipped bit in a log, wherever it is", async () => {
    const fixture = loadFixture("writers-settled");
    for (const [at, log] of entriesOf(fixture).entries())
      for (const entry of log.keys()) {
        const devices = devicesOf(fixture);
        const isKeyLog = log.length > 0 && Buffer.from(log[0] ?? []).toString("latin1", 0, 3) === "CFK";
        // The last statement alone has the keyfile's slot: with it gone, nothing opens.
        if (isKeyLog && entry < log.length - 1) continue;
        flip([...(devices[0]?.logs.values() ?? [])][at]?.entries[entry]);
        await assert.rejects(readAll(devices, fixture), refusesAs(isKeyLog ? "secret" : "damaged"));
      }
  });

  it("refuses entries that were exchanged between logs, dropped, repeated or put in another order", async () => {
    const fixture = loadFixture("writers-settled");
    const changes: ((one: Uint8Array[], other: Uint8Array[]) => void)[] = [
      (one, other) => ([one[0], other[0]] = [other[0] ?? Buffer.alloc(0), one[0] ?? Buffer.alloc(0)]),
      (one, other) => ([one[1], other[1]] = [other[1] ?? Buffer.alloc(0), one[1] ?? Buffer.alloc(0)]),
      (one) => one.shift(),
      (one) => one.splice(1, 1),
      (one) => one.push(one.at(-1) ?? Buffer.alloc(0)),
      (one) => one.reverse(),
    ];
    for (const change of changes) {
      const devices = devicesOf(fixture);
      const [one, other] = writersLogs(devices);
      change(one ?? [], other ?? []);
      await assert.rejects(readAll(devices, fixture), refusesAs("damaged"));
    }
  });

  it("passes over what is no key, and refuses a key log that was put back", async () => {
    const fixture = loadFixture("keys");
    const devices = devicesOf(fixture);
    const [log] = keyLogs(devices);
    assert.ok(log);
    const newest = log.at(-1) ?? Buffer.alloc(0);
    const [later, forged] = [Buffer.from(newest), Buffer.from(newest)];
    later[4] = 2;
    forged.fill(1, 64, 90);
    log.push(Buffer.from("no key"), later, forged, newest.subarray(0, 100));
    await readAll(devices, fixture);
    // Without what the second change of keys added: the first keys open, and the log shows entries under later ones.
    log.splice(log.findIndex((entry) => entry[22] === 2 && entry[3] === 0x4c));
    await assert.rejects(readAll(devices, fixture), refusesAs("damaged"));
  });

  it("refuses a checkpoint with a flipped bit in the record or a part, or without a part", async () => {
    for (const name of ["checkpoint", "checkpoint-writers"]) {
      const fixture = loadFixture(name);
      await assertRefused(fixture, "damaged", (device) => {
        checkpointLog(device).forEach(flip);
      });
      await assertRefused(fixture, "damaged", (device) => {
        partsOn(device).forEach(([, part]) => {
          flip(part);
        });
      });
      await assertRefused(fixture, "missing", (device) => {
        for (const [id] of partsOn(device)) device.blobs.delete(id);
      });
    }
  });

  it("needs the newest of two checkpoints, and passes over what else is in their log", async () => {
    const fixture = loadFixture("checkpoint-writers");
    const devices = devicesOf(fixture);
    for (const device of devices) {
      const log = checkpointLog(device);
      assert.equal(log.length, 3, "the first one, again by another writer, and the second one");
      flip(log[0]);
      log.push(Buffer.from("no checkpoint"));
    }
    await readAll(devices, fixture);
    await assertRefused(fixture, "missing", (device) => checkpointLog(device).pop());
    await assertRefused(fixture, "missing", (device) => {
      flip(checkpointLog(device).at(-1));
    });
  });

  it("refuses logs that do not fit the heads of a checkpoint", async () => {
    const changes: [Reason, (log: MemoryLog) => void][] = [
      [
        "damaged",
        ({ entries }) => {
          flip(entries[0]);
        },
      ],
      ["damaged", ({ entries }) => entries.splice(0, 1, entries[1] ?? Buffer.alloc(0))],
      ["missing", ({ entries }) => entries.splice(0)],
      [
        "missing",
        (log) => {
          log.entries.shift();
          log.first = (log.first ?? 0) + 1;
          log.start = { count: log.first, head: Buffer.alloc(32) };
        },
      ],
    ];
    for (const name of ["checkpoint", "checkpoint-writers"])
      for (const [reason, change] of changes) {
        const fixture = loadFixture(name);
        const trimmed = (device: MemoryDevice): MemoryLog[] =>
          [...device.logs.values()].filter(({ first = 0 }) => first > 0);
        for (const at of trimmed(devicesOf(fixture)[0] ?? new MemoryDevice()).keys())
          await assertRefused(fixture, reason, (device) => {
            const log = trimmed(device)[at];
            if (log) change(log);
          });
      }
  });

  it("misses the last entry of a log when another one has seen it", async () => {
    const fixture = loadFixture("writers-settled");
    const outcomes = await Promise.all(
      writersLogs(devicesOf(fixture)).map(async (_, at) => {
        const devices = devicesOf(fixture);
        writersLogs(devices)[at]?.pop();
        return readAll(devices, fixture).then(
          () => "read",
          (error: unknown) => (refusesAs("missing")(error) ? "missing" : String(error)),
        );
      }),
    );
    // Nobody has seen the last entry of the one who wrote last.
    assert.deepEqual(outcomes.sort(), ["missing", "missing", "read"]);
  });
});

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

async function readPacksAlone(devices: MemoryDevice[], fixture: Fixture): Promise<void> {
  const reader = await openSecond(devices, firstSecret(fixture));
  for (const device of devices) reader.packsAlone(contentsOf(device));
}

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

async function readAll(devices: MemoryDevice[], fixture: Fixture): Promise<void> {
  const reader = await openSecond(devices, firstSecret(fixture));
  for (const { root, isForgotten } of reader.versions) if (!isForgotten) secondTree(reader, root);
}

function firstSecret({ secrets }: Fixture) {
  const [secret] = secrets;
  assert.ok(secret);
  return secret;
}

/** When all devices are changed alike. */
async function assertRefused(
  fixture: Fixture,
  reason: Reason,
  change: (device: MemoryDevice) => unknown,
): Promise<void> {
  const devices = devicesOf(fixture);
  devices.forEach(change);
  await assert.rejects(readAll(devices, fixture), refusesAs(reason));
}

/** Its id begins as that of the key log does, with the repository's. */
function checkpointLog(device: MemoryDevice): Uint8Array[] {
  const isKey = ({ entries: [entry] }: MemoryLog): boolean => entry?.[0] === 0x43;
  const logs = [...device.logs];
  const [keyLogId = ""] = logs.find(([, log]) => isKey(log)) ?? [];
  const found = logs.find(([id, log]) => id.startsWith(keyLogId.slice(0, 32)) && !isKey(log));
  return found?.[1].entries ?? [];
}

const partsOn = (device: MemoryDevice): [string, Buffer][] =>
  [...device.blobs].filter(([, blob]) => blob.toString("latin1", 0, 4) === "CFCP");

const entriesOf = (fixture: Fixture): Uint8Array[][] =>
  devicesOf(fixture).flatMap(({ logs }) => [...logs.values()].map(({ entries }) => entries));

/** Of the first device. */
function writersLogs([device]: MemoryDevice[]): Uint8Array[][] {
  const logs = [...(device?.logs.values() ?? [])].map(({ entries }) => entries);
  return logs.filter(([entry]) => entry?.[0] === 1);
}

const keyLogs = (devices: MemoryDevice[]): Uint8Array[][] =>
  devices.flatMap(({ logs }) =>
    [...logs.values()].map(({ entries }) => entries).filter(([entry]) => entry?.[0] === 0x43),
  );

function flip(bytes: Uint8Array | undefined): void {
  if (bytes) bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4;
}
