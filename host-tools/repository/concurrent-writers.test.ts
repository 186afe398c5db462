// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { Refusal } from "../refusal";
import { Scratch, QUICK_SECRET } from "./testing/scratch";
import { Writer, copyDevice } from "./testing/writers";

const today = (): string => new Date().toISOString().slice(0, 10);
const conflict = (stem: string, computer: string, end = ""): string =>
  `${stem} (conflict from ${computer}, ${today()})${end}`;

describe("several writers", () => {
  let scratch: Scratch;
  let one: Writer;
  let two: Writer;
  let three: Writer;
  /** What files hold, by their content id. */
  let texts: Map<string, string>;

  beforeEach(async () => {
    scratch = new Scratch(QUICK_SECRET);
    texts = new Map();
    await scratch.create();
    [one, two, three] = (await Writer.group(scratch, ["laptop", "desktop", "server"])) as [
      Writer,
      Writer,
      Writer,
    ];
  });
  afterEach(async () => {
    await scratch.remove();
  });

  async function write(writer: Writer, path: string, text: string): Promise<void> {
    texts.set(await writer.write(path, text), text);
  }

  /** All learn from all, each in another order, and must come to the same; gives it. */
  async function settle(): Promise<Record<string, string>> {
    for (let round = 0; round < 2; round++)
      for (const writer of [one, two, three])
        for (const other of [three, two, one]) if (other !== writer) await writer.learn(other);
    const listing = await one.listing();
    assert.deepEqual(await two.listing(), listing);
    assert.deepEqual(await three.listing(), listing);
    const newcomer = await Writer.make(scratch, "newcomer", two);
    assert.deepEqual(await newcomer.listing(), listing, "for one who has nothing but the devices");
    return one.tree(texts);
  }

  async function bothKnow(path: string, text: string): Promise<void> {
    await write(one, path, text);
    await two.learn(one);
    await three.learn(one);
  }

  it("merge edits of different paths silently", async () => {
    await bothKnow("/d/a", "a");
    await write(one, "/d/one", "1");
    await write(two, "/d/two", "2");
    await write(two, "/d/deep/two", "22");
    assert.deepEqual(await settle(), {
      "/d": "/",
      "/d/a": "a",
      "/d/deep": "/",
      "/d/deep/two": "22",
      "/d/one": "1",
      "/d/two": "2",
    });
  });

  it("keep both of two edits of one file, under names that tell whose is whose", async () => {
    await bothKnow("/notes.txt", "before");
    await write(one, "/notes.txt", "from laptop");
    await write(two, "/other", "so that desktop's edit is the later one");
    await write(two, "/notes.txt", "from desktop");
    const tree = await settle();
    assert.equal(tree["/notes.txt"], "from desktop");
    assert.equal(tree[`/${conflict("notes", "laptop", ".txt")}`], "from laptop");
    assert.equal(Object.keys(tree).length, 3);
  });

  it("keep each of three new files of one name", async () => {
    await write(one, "/x", "1");
    await write(two, "/x", "2");
    await write(three, "/x", "3");
    const tree = await settle();
    assert.deepEqual(Object.values(tree).sort(), ["1", "2", "3"]);
    assert.ok("/x" in tree);
  });

  it("make one copy of an edit that went on for several pushes", async () => {
    await bothKnow("/x", "0");
    for (const text of ["1", "2", "3"]) await write(one, "/x", text);
    await write(two, "/x", "other");
    assert.deepEqual(await settle(), { "/x": "3", [`/${conflict("x", "desktop")}`]: "other" });
  });

  it("see no conflict in the same content twice", async () => {
    await bothKnow("/x", "0");
    await write(one, "/x", "same");
    await write(two, "/x", "same");
    assert.deepEqual(await settle(), { "/x": "same" });
  });

  it("let an edit win over a removal, of the file and of the folder around it", async () => {
    await bothKnow("/f", "0");
    await bothKnow("/d/e/edited", "0");
    await bothKnow("/d/e/left", "0");
    await bothKnow("/d/whole/left", "0");
    await write(one, "/f", "1");
    await write(one, "/d/e/edited", "2");
    await two.repository.remove("/f");
    await two.repository.remove("/d", { recursive: true });
    assert.deepEqual(await settle(), { "/f": "1", "/d": "/", "/d/e": "/", "/d/e/edited": "2" });
  });

  it("show an edit where the file or a folder above it was moved to", async () => {
    await bothKnow("/d/e/f", "0");
    await bothKnow("/g", "0");
    await one.repository.move("/d", "/moved");
    await one.repository.move("/g", "/h");
    await write(two, "/d/e/f", "1");
    await write(two, "/d/e/new", "2");
    await write(two, "/g", "3");
    assert.deepEqual(await settle(), {
      "/moved": "/",
      "/moved/e": "/",
      "/moved/e/f": "1",
      "/moved/e/new": "2",
      "/h": "3",
    });
  });

  it("keep an edit of a file over which another was moved", async () => {
    await bothKnow("/from", "moved");
    await bothKnow("/to", "0");
    await one.repository.move("/from", "/to");
    await write(two, "/to", "edited");
    const tree = await settle();
    assert.deepEqual(Object.values(tree).sort(), ["edited", "moved"]);
    assert.ok("/to" in tree && !("/from" in tree));
  });

  it("let a folder keep the name that a file also took", async () => {
    await write(one, "/x", "file");
    await write(two, "/x/inside", "in the folder");
    assert.deepEqual(await settle(), {
      "/x": "/",
      "/x/inside": "in the folder",
      [`/${conflict("x", "laptop")}`]: "file",
    });
  });

  it("number the copies when their name is taken", async () => {
    await bothKnow("/x", "0");
    await bothKnow(`/${conflict("x", "laptop")}`, "somebody chose this name");
    await write(one, "/x", "1");
    await write(two, "/y", "later");
    await write(two, "/x", "2");
    const tree = await settle();
    assert.equal(tree[`/${conflict("x", "laptop")}`], "somebody chose this name");
    assert.equal(tree[`/${conflict("x", "laptop")} 2`], "1");
    assert.equal(tree["/x"], "2");
  });

  it("do not bring a copy back that somebody removed, nor make it twice", async () => {
    await bothKnow("/x", "0");
    await write(one, "/x", "1");
    await write(two, "/x", "2");
    const copies = Object.keys(await settle()).filter((path) => path !== "/x");
    assert.equal(copies.length, 1);
    // Two settle it without knowing of each other, the third has seen neither.
    await one.repository.makeDirectory("/from-one");
    await two.repository.makeDirectory("/from-two");
    await three.repository.makeDirectory("/from-three");
    assert.equal(Object.keys(await settle()).filter((path) => path.startsWith("/x")).length, 2);
    await one.repository.remove(copies[0] ?? "");
    await two.repository.makeDirectory("/again");
    assert.deepEqual(
      Object.keys(await settle()).filter((path) => path.startsWith("/x")),
      ["/x"],
    );
  });

  it("keep what another computer wrote while a push was under way", async () => {
    await bothKnow("/d/x", "0");
    await bothKnow("/d/same", "0");
    await write(two, "/d/x", "from desktop");
    await write(two, "/d/same", "newer on desktop");
    // Desktop's entries are on laptop's device when laptop's push, which began before, becomes visible.
    scratch.write("laptop-source/d/x", "from laptop");
    scratch.write("laptop-source/d/same", "0");
    let lookedAt = 0;
    one.device.beforeCall = (verb): undefined => {
      if (verb === "logList" && ++lookedAt === 2) copyDevice(two.device, one.device);
    };
    await one.repository.push({ sources: [scratch.path("laptop-source/d")], to: "/" });
    assert.ok(lookedAt >= 2, "a push looks at the logs when it begins and before its entry");
    one.device.beforeCall = undefined;
    texts.set((await one.repository.stat("/d/x"))?.contentId ?? "", "from laptop");
    assert.deepEqual(await settle(), {
      "/d": "/",
      "/d/same": "newer on desktop",
      "/d/x": "from laptop",
      [`/d/${conflict("x", "desktop")}`]: "from desktop",
    });
  });

  for (const seed of [1, 2, 3, 4, 5, 6])
    it(`lose nothing that nobody removed, in random order (seed ${String(seed)})`, async () => {
      await new RandomWorld([one, two, three], seed).run(40);
      await settle();
    }).timeout(60_000);
});

/** Random changes and random learning. Refusals are part of it: a file where a folder is wanted, and the like. */
class RandomWorld {
  readonly #writers: readonly Writer[];
  /** Of each writer: contents that it knows to have been written, and that somebody has taken away having seen them. */
  readonly #written = new Map<Writer, Set<string>>();
  readonly #removed = new Map<Writer, Set<string>>();
  #state: number;

  constructor(writers: readonly Writer[], seed: number) {
    this.#writers = writers;
    this.#state = seed * 7919;
    for (const writer of writers) {
      this.#written.set(writer, new Set());
      this.#removed.set(writer, new Set());
    }
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      const writer = this.#pick(this.#writers);
      if (this.#random(3) === 0) {
        const other = this.#pick(this.#writers.filter((each) => each !== writer));
        await writer.learn(other);
        for (const known of [this.#written, this.#removed])
          for (const id of known.get(other) ?? []) known.get(writer)?.add(id);
      } else await this.#change(writer, `content of step ${String(step)}`);
      const present = new Set(await contents(writer));
      for (const id of this.#written.get(writer) ?? [])
        if (!this.#removed.get(writer)?.has(id))
          assert.ok(present.has(id), `step ${String(step)}: ${writer.name} lost something`);
    }
  }

  async #change(writer: Writer, text: string): Promise<void> {
    const before = await contents(writer);
    const { repository } = writer;
    try {
      const kind = this.#random(6);
      if (kind < 3) {
        const id = await writer.write(this.#path(), text);
        this.#written.get(writer)?.add(id);
      } else if (kind === 3) await repository.remove(this.#path(), { recursive: true });
      else if (kind === 4) await repository.move(this.#path(), this.#path());
      else await repository.makeDirectory(this.#path(), { parents: true });
    } catch (error) {
      const kinds = ["pathNotFound", "nameCollision", "wrongKind"];
      if (!(error instanceof Refusal) || !kinds.includes(error.kind)) throw error;
    }
    const after = new Set(await contents(writer));
    for (const id of before) if (!after.has(id)) this.#removed.get(writer)?.add(id);
  }

  /** Few names, so that they meet: files, folders and both. */
  #path(): string {
    const depth = 1 + this.#random(3);
    return Array.from({ length: depth }, () => `/${this.#pick(["a", "b.txt", "c"])}`).join("");
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#random(items.length)] as T;
  }

  #random(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) >>> 0;
    return (this.#state >>> 16) % limit;
  }
}

async function contents(writer: Writer): Promise<string[]> {
  const ids: string[] = [];
  for await (const { type, contentId } of writer.repository.walk("/"))
    if (type === "file") ids.push(contentId);
  return ids;
}
