// SPDX-License-Identifier: MIT
/** What `coffer` keeps of its compiled code: it saves time, and is never what a command depends on. */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./test/temporary-folder";

describe("the compiled code that coffer keeps", () => {
  const folder = temporaryFolder();
  let bundle: string;
  let kept: string;

  beforeEach(() => {
    const here = import.meta.dirname;
    cpSync(join(here, "bin"), join(folder.path, "bin"), { recursive: true });
    mkdirSync(join(folder.path, "dist"), { recursive: true });
    bundle = join(folder.path, "dist", "cli.js");
    cpSync(join(here, "dist", "cli.js"), bundle);
    kept = join(folder.path, "dist", "code-cache");
    rmSync(kept, { recursive: true, force: true });
  });

  function coffer(...words: string[]): SpawnSyncReturns<string> {
    const program = join(folder.path, "bin", "coffer.js");
    return spawnSync(process.execPath, [program, ...words], { encoding: "utf8" });
  }

  function help(): string {
    const { status, stdout, stderr } = coffer("--help");
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^coffer COMMAND\n/);
    return stdout;
  }

  const path = (): string => {
    const names = readdirSync(kept);
    assert.equal(names.length, 1, names.join(" "));
    return join(kept, names[0] ?? "");
  };

  it("is written by the first command of a kind that succeeds, and stays", () => {
    assert.notEqual(coffer("frobnicate").status, 0);
    assert.throws(() => readdirSync(kept));
    const text = help();
    const { ino, mtimeMs } = statSync(path());
    assert.equal(help(), text);
    assert.deepEqual([statSync(path()).ino, statSync(path()).mtimeMs], [ino, mtimeMs]);
  });

  it("is made anew where it was damaged, cut off or emptied", () => {
    const text = help();
    const good = readFileSync(path());
    const flipped = Buffer.from(good);
    flipped[good.length >> 1] = (good[good.length >> 1] ?? 0) ^ 1;
    for (const bad of [flipped, good.subarray(0, good.length >> 1), Buffer.alloc(0)]) {
      writeFileSync(path(), bad);
      assert.equal(help(), text);
      assert.ok(!readFileSync(path()).equals(bad));
    }
  });

  it("does not stand for a bundle of the same length that took the place of the first", () => {
    const text = help();
    const program = readFileSync(bundle, "latin1");
    writeFileSync(bundle, program.replace("An encrypted drive", "An encrypted DRIVE"), "latin1");
    assert.equal(help(), text.replace("An encrypted drive", "An encrypted DRIVE"));
  });

  it("is not missed where it cannot be written", () => {
    writeFileSync(kept, "a file in the place of the folder");
    help();
  });
});
