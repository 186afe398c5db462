// SPDX-License-Identifier: MIT
import { deepEqual, equal } from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "../test/temporary-folder";
import { LeakSearch, needlesOf, searchFolder } from "./leak-search";

describe("the search for what must not be there", () => {
  const folder = temporaryFolder();
  const secret = { what: "the secret", bytes: Buffer.from("moonlit vinegar") };

  it("finds a needle wherever a stream is cut", () => {
    const text = Buffer.from("xx moonlit vinegar xx");
    for (let cut = 0; cut <= text.length; cut += 1) {
      const search = new LeakSearch([secret]);
      search.next(text.subarray(0, cut));
      search.next(text.subarray(cut));
      deepEqual(search.found, ["the secret"], String(cut));
    }
  });

  it("finds one that comes byte by byte, and none across two streams", () => {
    const search = new LeakSearch([secret]);
    for (const byte of secret.bytes) search.next(Buffer.of(byte));
    deepEqual(search.found, ["the secret"]);
    const other = new LeakSearch([secret]);
    other.next(secret.bytes.subarray(0, 5));
    other.start();
    other.next(secret.bytes.subarray(5));
    deepEqual(other.found, []);
  });

  it("takes names and contents of a tree, and finds them in another folder's names and bytes", async () => {
    const tree = join(folder.path, "tree");
    await mkdir(join(tree, "a long folder name"), { recursive: true });
    await writeFile(join(tree, "a long folder name", "x"), "0123456789abcdefghijklmnopqrstuvwxyz");
    await writeFile(Buffer.concat([Buffer.from(`${tree}/not-utf8-`), Buffer.of(0xff)]), "x".repeat(100));
    const needles = await needlesOf(tree);
    equal(needles.length, 3);
    const card = join(folder.path, "card");
    await mkdir(join(card, "deep"), { recursive: true });
    await writeFile(join(card, "deep", "blob"), Buffer.alloc(5000, 7));
    deepEqual(await searchFolder(card, needles), []);
    await writeFile(
      join(card, "deep", "leak"),
      `${"-".repeat(1_048_570)}0123456789abcdefghijklmnopqrstuvwxyz`,
    );
    await writeFile(join(card, "deep", "a long folder name.tmp"), "");
    deepEqual((await searchFolder(card, needles)).sort(), ["contents of x", "the name a long folder name"]);
  });
});
