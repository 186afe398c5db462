// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { Refusal } from "../refusal";
import { loadKeyFile, saveKeyFile } from "./key-file";
import { type KeySecret, slotSecret } from "./key-secret";
import { makeKeySlot } from "./key-slot";
import { decodeStatement, makeLink, makeStatement } from "./key-statement";
import { Keyring } from "./keyring";
import { makeRecoveryCode } from "./recovery-code";
import type { Repository } from "./repository";
import { EpochKeys, keyLogId } from "./repository-keys";
import { SlotOpener } from "./slot-opener";
import { MemoryDevice } from "./testing/memory-device";
import { PASSPHRASE, Scratch, noise } from "./testing/scratch";

const OTHER = "another passphrase";

describe("keys of a repository", () => {
  let scratch: Scratch;
  let device: MemoryDevice;
  let repository: Repository;
  let fresh = 0;

  beforeEach(async () => {
    scratch = new Scratch();
    device = new MemoryDevice();
    await scratch.create();
    repository = await scratch.open([device]);
    await repository.push({ sources: [scratch.write("before.txt", "before")], to: "/" });
  });

  afterEach(() => scratch.remove());

  const newcomer = (): string => scratch.path(`computer-${String(fresh++)}`);
  const names = async (opened: Repository): Promise<string[]> =>
    (await opened.list("/")).map(({ name }) => name);
  const keyLog = (of = device): { entries: Uint8Array[] } => {
    const log = [...of.logs.values()].find(
      ({ id }) => Buffer.compare(id, keyLogId(Buffer.from(repository.id, "hex"))) === 0,
    );
    assert.ok(log);
    return log;
  };
  const rejectsWith = async (work: Promise<unknown>, kind: string, pattern: RegExp): Promise<void> => {
    await assert.rejects(work, (error) => {
      assert.ok(error instanceof Refusal, String(error));
      assert.match(error.kind, new RegExp(`^${kind}$`), error.message);
      assert.match(error.message, pattern);
      return true;
    });
  };

  it("open with any passphrase, keyfile, keychain secret or recovery code that was added, on any computer", async () => {
    const keys = repository.keyAdministration;
    const code = makeRecoveryCode();
    const keyfile = { kind: "keyfile", bytes: noise(1, 32) } as const;
    const keychain = { kind: "keychain", bytes: noise(2, 32) } as const;
    await keys.add(OTHER, "second");
    await keys.add(code, "sheet");
    await keys.add(keyfile, "stick");
    await keys.add(keychain, "laptop");
    assert.deepEqual(
      keys.list().map(({ kind, label, isOwn }) => [kind, label, isOwn]),
      [
        ["passphrase", "first", true],
        ["passphrase", "second", false],
        ["recovery", "sheet", false],
        ["keyfile", "stick", false],
        ["keychain", "laptop", false],
      ],
    );
    const typed = code.toLowerCase().replaceAll("-", " ");
    for (const passphrase of [PASSPHRASE, OTHER, typed, keyfile, keychain] as const)
      for (const home of [newcomer(), scratch.home])
        assert.deepEqual(await names(await openWith(passphrase, home)), ["before.txt"]);
    await rejectsWith(openWith("wrong", newcomer()), "wrongPassphrase", /^the passphrase does not open/);
    await rejectsWith(openWith("wrong", scratch.home), "wrongPassphrase", /^the passphrase does not open/);
    const wrong = makeRecoveryCode();
    await rejectsWith(openWith(wrong, newcomer()), "wrongPassphrase", /^the recovery code does not open/);
    const slip = `${code.slice(0, 6)}${code[6] === "7" ? "8" : "7"}${code.slice(7)}`;
    await rejectsWith(
      openWith(slip, newcomer()),
      "wrongPassphrase",
      /^group 1 of the recovery code is mistyped/,
    );
    const other = { kind: "keyfile", bytes: noise(3, 32) } as const;
    await rejectsWith(openWith(other, newcomer()), "wrongPassphrase", /^the keyfile does not open/);
  }).timeout(60_000);

  it("a key added elsewhere opens a computer that has not heard of it", async () => {
    const home = newcomer();
    await (await openWith(PASSPHRASE, home)).close();
    await repository.keyAdministration.add(OTHER, "second");
    assert.deepEqual(await names(await openWith(OTHER, home)), ["before.txt"]);
  });

  it("a removed key opens nothing that is written from then on, whatever copies its holder kept", async () => {
    const { id } = await repository.keyAdministration.add(OTHER, "second");
    // The thief keeps the state folder of a computer, the key log and everything else that the device had.
    const home = newcomer();
    await (await openWith(OTHER, home)).close();
    const copy = newcomer();
    cpSync(home, copy, { recursive: true });
    const old = await keyringOf(copy, OTHER);
    assert.equal((await repository.keyAdministration.remove(id)).label, "second");
    await repository.push({ sources: [scratch.write("after.txt", noise(5, 300_000))], to: "/" });
    await repository.push({ sources: [scratch.write("before.txt", "before, changed")], to: "/" });

    await rejectsWith(openWith(OTHER, newcomer()), "wrongPassphrase", /does not open|was removed/);
    await rejectsWith(openWith(OTHER, home), "wrongPassphrase", /was removed/);
    // Without the manners of `open`: no statement, no link and no entry since opens with what the thief has.
    const { repositoryId, keys } = old;
    assert.equal(keys.epoch, 0);
    for (const bytes of keyLog().entries) {
      const statement = attempt(() => decodeStatement(bytes, repositoryId));
      if (statement?.epoch === 1) assert.equal(old.adopt(statement, []), "removed");
    }
    const entries = [...device.logs.values()].flatMap((log) => (log === keyLog() ? [] : log.entries));
    assert.deepEqual(
      entries.map((entry) => entry[2]),
      [0, 1, 1],
    );
    assert.throws(() => keys.at(1), /epoch 1/);
    // The others notice nothing.
    const reader = await openWith(PASSPHRASE, newcomer());
    const report = await reader.pull({ remote: "/", to: scratch.path("back") });
    assert.deepEqual(report.problems, []);
    assert.deepEqual(readFileSync(scratch.path("back/after.txt")), noise(5, 300_000));
    assert.equal(readFileSync(scratch.path("back/before.txt"), "utf8"), "before, changed");
  }).timeout(60_000);

  it("equal files are stored once, also across a change of keys, and nothing is sent again", async () => {
    const source = scratch.write("large", noise(6, 2_000_000));
    await repository.push({ sources: [source], to: "/a" });
    await repository.keyAdministration.rotate();
    const report = await repository.push({ sources: [source], to: "/b", force: true });
    assert.equal(report.hashedBytes, 2_000_000);
    assert.ok(report.storedBytes < 50_000, String(report.storedBytes));
    const reader = await openWith(PASSPHRASE, newcomer());
    assert.deepEqual((await reader.pull({ remote: "/b/large", to: scratch.path("back") })).problems, []);
    assert.deepEqual(readFileSync(scratch.path("back")), noise(6, 2_000_000));
  });

  it("keys that were changed many times lead back to the first, also on a device that joins later", async () => {
    for (let i = 0; i < 5; i++) {
      await repository.keyAdministration.rotate();
      await repository.makeDirectory(`/folder-${String(i)}`);
    }
    const late = new MemoryDevice({ name: "late" });
    const both = await scratch.open([device, late]);
    await both.push({ sources: [scratch.write("more.txt", "more")], to: "/" });
    const opened = await scratch.open([late], { home: newcomer() });
    assert.equal(opened.keyAdministration.epoch, 5);
    assert.equal((await names(opened)).length, 7);
    assert.equal(keyLog(late).entries.length, 6, "five links, and only the newest statement");
  });

  it("a computer that is running takes up keys that another one changed", async () => {
    const other = await openWith(PASSPHRASE, newcomer());
    await repository.keyAdministration.rotate();
    await repository.makeDirectory("/from-one");
    await other.makeDirectory("/from-other");
    assert.equal(other.keyAdministration.epoch, 1);
    await repository.refresh();
    assert.deepEqual(await names(repository), ["before.txt", "from-one", "from-other"]);
    // Its signing key went along: it opens again and writes into the same log.
    await repository.close();
    await (await openWith(PASSPHRASE, scratch.home)).makeDirectory("/again");
    assert.equal(device.logs.size, 3);
  });

  it("of two computers that change keys at once one comes second, and nothing is lost", async () => {
    const other = await openWith(PASSPHRASE, newcomer());
    await Promise.all([
      repository.keyAdministration.add(OTHER, "second"),
      other.keyAdministration.add("third", "third"),
      other.keyAdministration.rotate(),
    ]);
    await repository.refresh();
    assert.equal(repository.keyAdministration.epoch, 1);
    for (const passphrase of [PASSPHRASE, OTHER, "third"])
      assert.deepEqual(await names(await openWith(passphrase, newcomer())), ["before.txt"]);
  }).timeout(60_000);

  it("slots added on two devices that did not hear of each other are joined", async () => {
    const [one, two] = [new MemoryDevice({ name: "one" }), new MemoryDevice({ name: "two" })];
    const both = await scratch.open([one, two]);
    await both.push({ sources: [scratch.path("before.txt")], to: "/" });
    const home = newcomer();
    await (await scratch.open([one], { home })).keyAdministration.add(OTHER, "second");
    await (await scratch.open([two])).keyAdministration.add("third", "third");
    const again = await scratch.open([one, two]);
    await again.makeDirectory("/settled");
    for (const at of [one, two])
      for (const passphrase of [OTHER, "third"]) await scratch.open([at], { home: newcomer(), passphrase });
  }).timeout(60_000);

  it("keys changed apart, on two devices, never mix: the other's statement is passed over, its entries refused", async () => {
    const [one, two] = [new MemoryDevice({ name: "one" }), new MemoryDevice({ name: "two" })];
    await (await scratch.open([one, two])).push({ sources: [scratch.path("before.txt")], to: "/" });
    const home = newcomer();
    const other = await scratch.open([two], { home });
    await (await scratch.open([one])).keyAdministration.rotate();
    await other.keyAdministration.rotate();
    await other.makeDirectory("/apart");
    await rejectsWith(scratch.open([one, two]), "logTampered", /^two: the log of .* does not verify/);
    assert.ok(scratch.warnings.some((text) => /^key log of two: .* passed over/.test(text)));
    assert.deepEqual(await names(await scratch.open([one])), ["before.txt"]);
  });

  it("refuses to remove the last key, the one in use, an unknown one and an ambiguous name", async () => {
    const keys = repository.keyAdministration;
    await rejectsWith(keys.remove("first"), "usage", /last key/);
    await keys.add(OTHER, "twin");
    await keys.add("third", "twin");
    await rejectsWith(keys.remove("twin"), "usage", /2 keys are called/);
    await rejectsWith(keys.remove("first"), "usage", /opened the repository with/);
    await rejectsWith(keys.remove("nobody"), "unknownIdentity", /there is no key "nobody"/);
    await rejectsWith(keys.add("x", "l".repeat(65)), "usage", /at most 64 bytes/);
    assert.equal(keys.epoch, 0);
  });

  it("a weak passphrase slot is made anew at the next write, and the old one is worth nothing then", async () => {
    const home = newcomer();
    const repositoryId = noise(20, 16);
    const master = noise(21, 32);
    const { slot, opened: pair } = await makeKeySlot({
      secret: slotSecret(PASSPHRASE),
      label: "old times",
      repositoryId,
      createdAtMs: 1,
      anchor: { epoch: 0, mark: new EpochKeys(master, repositoryId).anchor },
      parameters: { memoryKiB: 8 * 1024, passes: 1, lanes: 1 },
    });
    const { statement, links } = Keyring.create(slot, pair, master, repositoryId);
    await saveKeyFile(home, { repositoryId, statement, links, writer: undefined });
    const stale = newcomer();
    cpSync(home, stale, { recursive: true });
    const own = new MemoryDevice();
    const opened = await scratch.open([own], { home });
    await opened.list("/");
    assert.equal(
      (await loadKeyFile(home))?.statement.slots[0]?.memoryKiB,
      8 * 1024,
      "reading changes nothing",
    );
    await opened.makeDirectory("/written");
    const renewed = (await loadKeyFile(home))?.statement;
    assert.deepEqual(
      renewed?.slots.map(({ memoryKiB, passes, label }) => [memoryKiB, passes, label]),
      [[64 * 1024, 3, "old times"]],
    );
    assert.equal(renewed.epoch, 1);
    assert.throws(() => Keyring.open(renewed, links, pair, repositoryId), /not in the key statement/);
    await opened.makeDirectory("/again");
    assert.equal((await loadKeyFile(home))?.statement.epoch, 1, "once");
    // The same passphrase goes on opening, also a computer that only knows the old slot.
    for (const at of [home, stale, newcomer()])
      assert.deepEqual(await names(await scratch.open([own], { home: at })), ["again", "written"]);
  });

  it("a device that puts the key log back is found out by who saw the newer one", async () => {
    const { id } = await repository.keyAdministration.add(OTHER, "second");
    await repository.keyAdministration.remove(id);
    await repository.refresh();
    const log = keyLog();
    const all = [...log.entries];
    for (const entries of [
      all.slice(0, -1),
      all.slice(0, 1),
      [],
      [...all].reverse(),
      [...all.slice(1), all[0] as Uint8Array],
    ]) {
      log.entries = entries;
      await rejectsWith(
        openWith(PASSPHRASE, scratch.home),
        "logTampered",
        /^memory: the key log was put back/,
      );
    }
    log.entries = all;
    await openWith(PASSPHRASE, scratch.home);
  });

  it("a device that hides a change of keys from a newcomer is found out by the first entry under the new ones", async () => {
    await repository.keyAdministration.rotate();
    await repository.makeDirectory("/after");
    keyLog().entries.splice(1);
    await rejectsWith(
      openWith(PASSPHRASE, newcomer()),
      "logTampered",
      /epoch 1, which the key log does not show/,
    );
  });

  it("a device cannot slip in a slot, a statement, a link or newer keys", async () => {
    const file = await loadKeyFile(scratch.home);
    assert.ok(file);
    const { repositoryId, statement } = file;
    const log = keyLog();
    const honest = [...log.entries];
    const base = newcomer();
    await (await openWith(PASSPHRASE, base)).close();
    const evil = await makeKeySlot({
      secret: slotSecret("evil"),
      label: "evil",
      repositoryId,
      createdAtMs: 1,
      anchor: { epoch: 0, mark: noise(33, 16) },
    });
    const master = noise(30, 32);
    const evilKeys = new EpochKeys(master, repositoryId);
    const slots = [...statement.slots, evil.slot];
    const make = (epoch: number, generation: number): Uint8Array =>
      makeStatement({
        repositoryId,
        epoch,
        generation,
        slots,
        master,
        keys: evilKeys,
        previousKeys: evilKeys,
      }).bytes;
    const link = makeLink(repositoryId, 1, evilKeys, noise(31, 32)).bytes;
    const withSlot = Buffer.from(statement.bytes);
    withSlot.set(evil.slot.publicKey, 60 + 31);
    for (const added of [
      [make(0, 9)],
      [link, make(1, 9)],
      [make(1, 9)],
      [make(5, 1)],
      [withSlot],
      [noise(32, 500)],
      [link, link],
    ]) {
      log.entries = [...honest, ...added];
      const home = newcomer();
      cpSync(base, home, { recursive: true });
      const opened = await openWith(PASSPHRASE, home);
      await opened.makeDirectory(`/mine-${String(fresh)}`);
      assert.deepEqual(
        opened.keyAdministration.list().map(({ label }) => label),
        ["first"],
      );
      assert.equal(opened.keyAdministration.epoch, 0);
      await opened.close();
      const late = await openWith(PASSPHRASE, newcomer());
      assert.ok((await names(late)).includes("before.txt"), "the keys are those of the repository");
      assert.equal(late.keyAdministration.list().length, 1);
      await rejectsWith(
        openWith("evil", newcomer()),
        "(wrongPassphrase|logTampered)",
        /does not open|no genuine keys/,
      );
    }
    assert.ok(scratch.warnings.some((text) => /key log of memory: .* passed over/.test(text)));
  }).timeout(60_000);

  it("who was removed cannot make keys that others take up, not even with a device's help", async () => {
    const { id } = await repository.keyAdministration.add(OTHER, "second");
    const home = newcomer();
    await (await openWith(OTHER, home)).close();
    const old = await keyringOf(home, OTHER);
    await repository.keyAdministration.remove(id);
    const log = keyLog();
    // All that the old keys allow: a statement of the old epoch, and a new epoch on top of the old one.
    const same = old.next(old.slots, false);
    const next = old.next(old.slots, true);
    log.entries.push(same.statement.bytes, ...next.links.map(({ bytes }) => bytes), next.statement.bytes);
    const opened = await openWith(PASSPHRASE, scratch.home);
    await opened.makeDirectory("/mine");
    assert.equal(opened.keyAdministration.list().length, 1);
    assert.throws(() => old.keys.at(1), /epoch 1/);
  }).timeout(60_000);

  it("an entry under older keys behind one under newer keys is refused", async () => {
    const old = await keyringOf(scratch.home, PASSPHRASE);
    await repository.keyAdministration.rotate();
    await repository.makeDirectory("/after");
    const log = [...device.logs.values()].find((other) => other !== keyLog());
    const [first, second] = log?.entries ?? [];
    assert.ok(log && first && second && first[2] === 0 && second[2] === 1);
    const forged = Uint8Array.from(second);
    forged[2] = 0;
    log.entries.push(forged);
    assert.equal(old.epoch, 0);
    await rejectsWith(openWith(PASSPHRASE, newcomer()), "logTampered", /older keys than the entry before/);
  });

  it("a damaged repository.json is named, and not believed", async () => {
    const path = scratch.path("home/repository/repository.json");
    const text = readFileSync(path, "utf8");
    const json = JSON.parse(text) as { statement: string };
    writeFileSync(path, text.replace(json.statement, `${json.statement.slice(0, -2)}00`));
    await rejectsWith(openWith(PASSPHRASE, scratch.home), "damagedState", /repository.json/);
    writeFileSync(path, text.replace(json.statement, "00"));
    await rejectsWith(openWith(PASSPHRASE, scratch.home), "damagedState", /repository.json/);
  });

  function openWith(passphrase: KeySecret, home: string): Promise<Repository> {
    return scratch.open([device], { passphrase, home });
  }

  async function keyringOf(home: string, passphrase: string): Promise<Keyring> {
    const file = await loadKeyFile(home);
    assert.ok(file);
    const keyring = await new SlotOpener(slotSecret(passphrase)).open(
      [file.statement],
      file.links,
      file.repositoryId,
    );
    assert.ok(keyring);
    return keyring;
  }
});

function attempt<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
