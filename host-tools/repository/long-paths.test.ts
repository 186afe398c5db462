// SPDX-License-Identifier: MIT
/** Paths that the repository keeps and the local file system does not allow. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { Refusal } from "../refusal";
import type { Repository } from "./repository";
import { MemoryDevice } from "./testing/memory-device";
import { Scratch } from "./testing/scratch";

/** Twelve of them are 2.5 KiB; twice that is more than Linux and macOS take. */
const names = Array.from({ length: 12 }, (_, at) => `${String(at).padStart(2, "0")}${"n".repeat(200)}`);

describe("a pull of paths that are too long here", () => {
  let scratch: Scratch;
  let repository: Repository;

  beforeEach(async () => {
    scratch = new Scratch();
    await scratch.create();
    repository = await scratch.open([new MemoryDevice()]);
  });
  afterEach(() => scratch.remove());

  it("names each file and folder once, and brings the rest", async () => {
    scratch.write(`tree/${names.join("/")}/deep`, "deep");
    scratch.write(`tree/${names.join("/")}/deeper`, "deeper");
    scratch.write(`tree/${names.slice(0, 2).join("/")}/near`, "near");
    scratch.write("tree/last", "last");
    await repository.push({ sources: [scratch.path("tree")], to: "/" });
    const to = scratch.path(...names, "to");
    const { files, directories, problems } = await repository.pull({ remote: "/tree", to });
    assert.equal(files, 2);
    assert.equal(readFileSync(`${to}/last`, "utf8"), "last");
    assert.equal(readFileSync(`${to}/${names.slice(0, 2).join("/")}/near`, "utf8"), "near");
    const missing = names
      .map((_, at) => `${to}/${names.slice(0, at + 1).join("/")}`)
      .filter((path) => Buffer.byteLength(path) >= 4096);
    assert.equal(directories, 1 + names.length - missing.length);
    const inside = `${to}/${names.join("/")}`;
    assert.deepEqual(
      problems.map(({ path }) => path),
      [...missing, `${inside}/deep`, `${inside}/deeper`],
    );
    for (const { kind, reason } of problems) {
      assert.equal(kind, "localIo");
      assert.equal(reason, "cannot write it: its path is longer than the local file system allows");
    }
    const next = await repository.pull({ remote: "/tree", to });
    assert.deepEqual([next.skippedFiles, next.problems], [2, problems]);
  });

  it("brings what was kept from deeper folders than one path can name", async () => {
    const [top = "", ...below] = names;
    // By two pushes and a move, because no path here is as long.
    for (const folder of ["upper", "lower"]) mkdirSync(scratch.path(folder, ...names), { recursive: true });
    scratch.write(`lower/${names.join("/")}/file`, "so deep");
    await repository.push({ sources: [scratch.path("upper"), scratch.path("lower")], to: "/" });
    await repository.move("/lower", `/upper/${names.join("/")}/lower`);
    const to = scratch.path("back");
    const { files, problems } = await repository.pull({ remote: "/upper", to });
    assert.equal(files, 0);
    assert.ok(problems.some(({ path }) => path.endsWith("/file")));
    assert.deepEqual(readdirSync(`${to}/${top}`), [below[0]]);
    const part = await repository.pull({
      remote: `/upper/${names.join("/")}/lower`,
      to: scratch.path("part"),
    });
    assert.deepEqual([part.files, part.problems], [1, []]);
  });

  it("is refused when the place itself is too long", async () => {
    scratch.write("tree/file", "x");
    await repository.push({ sources: [scratch.path("tree")], to: "/" });
    for (const remote of ["/tree", "/tree/file"])
      for (const to of [scratch.path("x".repeat(300)), scratch.path(...names, ...names, "to")])
        await assert.rejects(
          repository.pull({ remote, to }),
          (error) => error instanceof Refusal && error.kind === "localIo" && error.message.includes("longer"),
        );
  });
});
