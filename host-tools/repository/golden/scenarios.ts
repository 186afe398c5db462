// SPDX-License-Identifier: MIT
/** What is written into each golden repository. A new one is added here; those that are there are never made again. */

import { chmodSync, lutimesSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { makeRecoveryCode } from "../recovery-code";
import { MemoryDevice } from "../testing/memory-device";
import { prose } from "../testing/prose";
import { PASSPHRASE, type Scratch, noise } from "../testing/scratch";
import { Author, KEYFILE } from "./author";
import type { Fixture, GoldenSecret } from "./fixture";

/** What is told beside what the devices hold. */
export interface Story extends Omit<Fixture, "devices" | "blobs"> {
  from: readonly MemoryDevice[];
}

const BLOCK_BYTES = 64 * 1024;

function story(about: string, author: Author, special: Parameters<Author["expected"]>[0] = {}): Story {
  const expected = author.expected(special);
  return { about, secrets: [KEYFILE], removedSecrets: [], expected, from: author.devices };
}

export const scenarios: Record<string, (scratch: Scratch) => Promise<Story>> = {
  async files(scratch) {
    const author = await Author.make(scratch);
    makeFiles(scratch);
    await author.push("files", "/deep/er");
    scratch.write("files/text", prose(3, 21_000));
    await author.push("files", "/deep/er");
    return story("files of every sort: sizes, holes, lists, links, names, modes and times", author);
  },

  async "long-folder"(scratch) {
    const author = await Author.make(scratch);
    mkdirSync(scratch.path("long"));
    for (let at = 0; at < 1100; at++)
      symlinkSync(`${String(at)}${"/long".repeat(800)}`, scratch.path("long", String(at)));
    await author.push("long");
    return story("a folder whose entries are several chunks", author);
  },

  async versions(scratch) {
    const author = await Author.make(scratch);
    scratch.write("docs/a", "first");
    scratch.write("docs/sub/b", prose(5, 2000));
    const first = await author.push("docs");
    scratch.write("docs/a", "second");
    scratch.write("docs/later", "later");
    const second = await author.push("docs");
    const third = await author.move("/docs/sub", "/moved");
    const fourth = await author.remove("/docs/later");
    await author.restore("/docs", first);
    // Longer than an entry: what it says is stored as chunks.
    await author.makeFolder(
      `/${Array.from({ length: 16 }, (_, at) => `${String(at)}${"n".repeat(200)}`).join("/")}`,
    );
    const { versions } = author.repository;
    await versions.tag("v1", first);
    await versions.tag("moves", first);
    await versions.tag("gone", second);
    const other = await Author.make(scratch, { name: "desktop", from: author });
    await versions.forget({ versions: [third, fourth] });
    await other.repository.versions.tag("held", fourth);
    await author.learn(other, author.tree);
    const last = await author.write("/docs/a", "last");
    await versions.tag("moves", last);
    await versions.untag("gone");
    const tags = { v1: first, moves: last, held: fourth };
    return story(
      "versions with tags, a forgotten one, one that a tag holds; moves, removals, a restored folder",
      author,
      {
        tags,
        forgotten: [third],
      },
    );
  },

  async "index-blobs"(scratch) {
    const author = await Author.make(scratch);
    for (let at = 0; at < 120; at++) scratch.write(`many/${String(at)}`, `small file ${String(at)}`);
    await author.push("many");
    for (let at = 0; at < 90; at++) scratch.write(`more/${String(at)}`, noise(at + 1, 40));
    await author.push("more");
    await author.write("/many/1", "few: this index is in the entry");
    return story("indexes that are blobs, and one in its entry", author);
  },

  async keys(scratch) {
    const author = await Author.make(scratch);
    const recovery: GoldenSecret = { kind: "recovery", value: makeRecoveryCode() };
    const removed: GoldenSecret = { kind: "keyfile", value: noise(78, 32).toString("hex") };
    const keys = author.repository.keyAdministration;
    await keys.add(recovery.value, "sheet");
    const { id } = await keys.add(
      { kind: "keyfile", bytes: Buffer.from(removed.value, "hex") },
      "lost stick",
    );
    await author.write("/epoch-0", prose(7, 3000));
    await keys.rotate();
    await author.write("/epoch-1", prose(8, 3000));
    await keys.remove(id);
    await author.write("/epoch-2", "under the third keys");
    await keys.add("a passphrase added later", "late");
    await author.write("/again", prose(7, 3000));
    return {
      ...story("three epochs, five slots of three kinds, one of them removed", author),
      secrets: [
        KEYFILE,
        recovery,
        { kind: "passphrase", value: PASSPHRASE },
        { kind: "passphrase", value: "a passphrase added later" },
      ],
      removedSecrets: [removed],
    };
  },

  async "writers-settled"(scratch) {
    const [one, two, three] = await threeAuthors(scratch);
    await bothWrite(one, two);
    await merge(one, two);
    await one.makeFolder("/settled");
    await three.write("/x", "server");
    await three.remove("/d/base");
    const merged = one.tree.copy();
    merged.take("/x", three.tree);
    merged.remove("/d/base");
    await three.learn(one, merged);
    await three.move("/d/one", "/d/three");
    return story("three writers; two merges that an entry settled, one with a conflict copy", three);
  },

  async "writers-unsettled"(scratch) {
    const [one, two] = await threeAuthors(scratch);
    await bothWrite(one, two);
    const heads = [one.tree.expected, two.tree.expected];
    await merge(one, two);
    return story("two heads that nobody has settled, with a conflict", one, { heads });
  },

  async "revoked-writer"(scratch) {
    const [owner, thief] = await threeAuthors(scratch);
    await thief.write("/before", "while it was trusted");
    await owner.learn(thief, thief.tree);
    await owner.repository.revokeWriter("desktop");
    await owner.write("/after", "by its owner");
    const expected = story("a writer who was revoked and goes on writing", owner);
    await thief.write("/stolen", "behind the owner's back");
    await owner.learn(thief, owner.tree);
    return expected;
  },

  async pruned(scratch) {
    const one = await Author.make(scratch);
    const [device] = one.devices;
    if (!device) throw new Error("there is no device");
    const forgotten: string[] = [];
    const forgetAllButLast = async (): Promise<void> => {
      const report = await one.repository.versions.forget({ policy: { last: 1 } });
      forgotten.push(...report.forgotten.map(({ id }) => id));
    };
    scratch.write("f/kept", noise(1, 20_000));
    scratch.write("f/old", noise(3, 30_000));
    await one.push("f");
    await one.write("/g/old", noise(4, 10_000));
    await one.remove("/f/old");
    await one.remove("/g/old");
    await forgetAllButLast();
    const before = new Map(device.blobs);
    await one.repository.prune({ maxUnused: 0, holdMs: 0 });
    const droppedPacks = [...before]
      .filter(([id, blob]) => !device.blobs.has(id) && blob.toString("latin1", 0, 4) === "CFPK")
      .map(([id]) => id);
    // With a second writer there is a hold: what is condemned now stays.
    const two = await Author.make(scratch, { name: "desktop", devices: one.devices, from: one });
    await two.write("/h/new", noise(5, 8000));
    await two.write("/h/old", noise(6, 9000));
    await two.remove("/h/old");
    await one.learn(two, two.tree);
    await forgetAllButLast();
    const { deadPacks, repackedPacks } = await one.repository.prune({ maxUnused: 0 });
    // While packs are condemned, packs get a variant.
    await one.write("/late", noise(7, 7000));
    return story("packs that were dropped, and packs that are condemned and still there", one, {
      forgotten,
      droppedPacks,
      condemnedPacks: deadPacks + repackedPacks,
    });
  },

  async repaired(scratch) {
    const devices = ["attic", "cellar"].map((name) => new MemoryDevice({ name }));
    const [attic] = devices;
    if (!attic) throw new Error("there is no device");
    const both = await Author.make(scratch, { devices });
    scratch.write("both/x", noise(1, 5000));
    await both.push("both");
    await both.repository.close();
    const one = await Author.make(scratch, { name: "desktop", devices: [attic], from: both });
    const pack = await loseAPack(scratch, one, attic);
    return {
      ...story(
        "a pack that rotted on one of two devices and was given up; its chunks are in another one",
        one,
        {
          lostPacks: [{ device: "attic", pack }],
        },
      ),
      from: devices,
    };
  },

  async checkpoint(scratch) {
    const devices = ["attic", "cellar"].map((name) => new MemoryDevice({ name }));
    const [attic] = devices;
    if (!attic) throw new Error("there is no device");
    const author = await Author.make(scratch, { devices });
    for (let at = 0; at < 80; at++) scratch.write(`many/${String(at)}`, `small file ${String(at)}`);
    const first = await author.push("many");
    scratch.write("f/kept", noise(1, 20_000));
    scratch.write("f/old", noise(2, 30_000));
    const second = await author.push("f");
    const third = await author.remove("/f/old");
    const fourth = await author.write("/docs/a", "fourth");
    const fifth = await author.write("/docs/a", "fifth");
    await author.repository.versions.tag("v0", first);
    await author.repository.versions.tag("v1", first);
    await author.repository.versions.tag("gone", fourth);
    await author.repository.versions.untag("gone");
    await author.repository.versions.forget({ versions: [second, third] });
    await author.reopen([attic]);
    const pack = await loseAPack(scratch, author, attic);
    await author.reopen(devices);
    const { deadPacks, repackedPacks } = await author.repository.prune({ maxUnused: 0, holdMs: 1000 });
    await author.makeCheckpoint("/at-the-checkpoint");
    await author.write("/docs/a", "after it");
    const last = await author.remove("/many/7");
    const { versions } = author.repository;
    await versions.forget({ versions: [fourth] });
    await versions.tag("v1", fifth);
    await versions.tag("v2", last);
    return {
      ...story(
        "a checkpoint with versions, tags, indexes, condemned and lost packs; entries after it",
        author,
        {
          tags: { v0: first, v1: fifth, v2: last },
          leftOut: [second, third],
          forgotten: [fourth],
          condemnedPacks: deadPacks + repackedPacks,
          lostPacks: [{ device: "attic", pack }],
        },
      ),
      from: devices,
    };
  },

  async "checkpoint-writers"(scratch) {
    const [one, two, three] = await threeAuthors(scratch);
    await bothWrite(one, two);
    await merge(one, two);
    await three.learn(one, one.tree);
    const early = await three.makeCheckpoint("/first-checkpoint");
    await one.learn(three, three.tree);
    await one.repository.keyAdministration.rotate();
    await one.repository.revokeWriter("server");
    const stolen = await three.write("/stolen", "behind the owner's back");
    await one.learn(three, one.tree);
    const [doomed] = one.expected().versions.map(({ id }) => id);
    if (doomed === undefined) throw new Error("there is no version");
    await one.repository.versions.forget({ versions: [doomed] });
    await two.repository.versions.tag("held", doomed);
    await one.learn(two, one.tree);
    await one.repository.versions.tag("early", early);
    await one.write("/d/one", "under the second keys");
    await one.makeCheckpoint("/second-checkpoint");
    // On the very device, where nothing is left of what is older.
    await two.reopen(one.devices);
    two.tree = one.tree.copy();
    await two.write("/last", "by desktop");
    await two.repository.versions.untag("held");
    return {
      ...story(
        "two checkpoints of three writers, the maker of the first one revoked; keys changed between them",
        two,
        {
          tags: { early },
          leftOut: [stolen],
          forgotten: [doomed],
        },
      ),
      from: one.devices,
    };
  },
};

/** Pushes to one device, where a pack of it rots and is given up; returns that pack. */
async function loseAPack(scratch: Scratch, author: Author, device: MemoryDevice): Promise<string> {
  scratch.write("one/y", noise(8, 6000));
  scratch.write("one/z", noise(9, 4000));
  const known = [...device.blobs.keys()];
  await author.push("one");
  const pack = [...device.blobs].find(([id, blob]) => !known.includes(id) && blob[5] === 0)?.[0] ?? "";
  const rotten = Buffer.from(device.blobs.get(pack) ?? []);
  rotten[100] = (rotten[100] ?? 0) ^ 1;
  device.blobs.set(pack, rotten);
  const { isWhole } = await author.repository.repair({ paths: [scratch.path("one")], readPercent: 100 });
  if (!isWhole) throw new Error("it was not repaired");
  return pack;
}

async function threeAuthors(scratch: Scratch): Promise<[Author, Author, Author]> {
  const one = await Author.make(scratch);
  await one.write("/d/base", "known to all");
  const two = await Author.make(scratch, { name: "desktop", from: one });
  return [one, two, await Author.make(scratch, { name: "server", from: one })];
}

/** Without knowing of each other, also one name; the edit of `two` is the later one. */
async function bothWrite(one: Author, two: Author): Promise<void> {
  await one.write("/notes.txt", "from laptop");
  await one.write("/d/one", "1");
  await two.write("/other", "2");
  await two.write("/d/two", "22");
  await two.write("/notes.txt", "from desktop");
}

async function merge(one: Author, two: Author): Promise<void> {
  const merged = one.tree.copy();
  const today = new Date().toISOString().slice(0, 10);
  merged.take("/notes.txt", one.tree, `/notes (conflict from laptop, ${today}).txt`);
  for (const path of ["/notes.txt", "/other", "/d/two"]) merged.take(path, two.tree);
  await one.learn(two, merged);
}

function makeFiles(scratch: Scratch): void {
  const at = scratch.path("files");
  for (const folder of ["empty", "a/deep/er"]) mkdirSync(`${at}/${folder}`, { recursive: true });
  const put = (name: string | Buffer, content: string | Uint8Array): void => {
    writeFileSync(
      typeof name === "string" ? `${at}/${name}` : Buffer.concat([Buffer.from(`${at}/`), name]),
      content,
    );
  };
  put("zero-length", "");
  put("one-byte", "1");
  put("plain", noise(1, 3000));
  put("text", prose(2, 20_000));
  put("a/deep/er/copy", noise(1, 3000));
  put("chunks", lines(6_000_000));
  put("all-zero", Buffer.alloc(300_000));
  put("one-zero-block", Buffer.alloc(BLOCK_BYTES));
  put("zero-tail", Buffer.concat([noise(4, 5000), Buffer.alloc(200_000)]));
  put("zero-head", Buffer.concat([Buffer.alloc(200_000), prose(5, 5000)]));
  put("list", blocksAndHoles(20));
  put("caf\u00e9", "composed");
  put("cafe\u0301", "decomposed");
  put("\u{1f510} \u202e\n\t\\", "strange but legal");
  put(Buffer.from([0x6c, 0xff, 0xfe, 0xc3, 0x31, 0xed, 0xa0, 0x80]), "not UTF-8");
  put("n".repeat(255), "longest name");
  put("-rf", "looks like an option");
  put("executable", "#!/bin/sh\n");
  chmodSync(`${at}/executable`, 0o4751);
  put("read-only", "x");
  chmodSync(`${at}/read-only`, 0o400);
  symlinkSync("text", `${at}/link`);
  symlinkSync("../../../../etc/passwd", `${at}/link-out`);
  symlinkSync(Buffer.from([0x2e, 0x2f, 0xff]), `${at}/dangling`);
  lutimesSync(`${at}/dangling`, 12, 12.5);
  utimesSync(`${at}/plain`, 1_000_000_000.123456, 1_000_000_000.123456);
  utimesSync(`${at}/empty`, -1000, -1000.25);
  chmodSync(`${at}/empty`, 0o1777);
}

/** Shrinks to almost nothing, and is cut by content all the same. */
function lines(length: number): Buffer {
  const line = (at: number): string => `${String(at * 7919)}${"-".repeat(440)}\n`;
  return Buffer.from(Array.from({ length: Math.ceil(length / 440) }, (_, at) => line(at)).join("")).subarray(
    0,
    length,
  );
}

/** More pieces than a folder's entry holds. */
function blocksAndHoles(count: number): Buffer {
  const blocks = Array.from({ length: count }, (_, at) => [
    Buffer.alloc(BLOCK_BYTES, `block ${String(at)} `),
    Buffer.alloc(BLOCK_BYTES * (1 + (at % 2))),
  ]);
  return Buffer.concat([...blocks.flat(), Buffer.from("the end")]);
}
