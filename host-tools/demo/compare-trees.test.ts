// SPDX-License-Identifier: MIT
import { deepEqual, match } from "node:assert/strict";
import { chmod, mkdir, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "../test/temporary-folder";
import { compareTrees } from "./compare-trees";

describe("the comparison of two trees", () => {
  const folder = temporaryFolder();
  let count = 0;

  /** Two equal trees; `change` makes a difference in the second. */
  async function twins(change: (copy: string) => Promise<void>): Promise<[string, string]> {
    count += 1;
    const roots: [string, string] = [
      join(folder.path, `a${String(count)}`),
      join(folder.path, `b${String(count)}`),
    ];
    for (const root of roots) {
      await mkdir(join(root, "sub", "empty"), { recursive: true });
      await writeFile(join(root, "sub", "file"), "x".repeat(3 * 1024 * 1024));
      await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe])]), "not UTF-8");
      await symlink("nowhere", join(root, "link"));
    }
    await change(roots[1]);
    for (const root of roots)
      for (const path of ["sub/file", "sub/empty", "sub", "."])
        await utimes(join(root, path), 1, 2).catch(() => undefined);
    const names = [Buffer.from(`${roots[0]}/`), Buffer.from(`${roots[1]}/`)];
    for (const name of names) await utimes(Buffer.concat([name, Buffer.from([0xff, 0xfe])]), 1, 2);
    return roots;
  }

  it("counts what is equal", async () => {
    const roots = await twins(() => Promise.resolve());
    deepEqual(await compareTrees(...roots), {
      files: 2,
      folders: 3,
      links: 1,
      bytes: 3 * 1024 * 1024 + 9,
      differences: [],
    });
  });

  const changes: readonly (readonly [string, (copy: string) => Promise<void>, RegExp])[] = [
    [
      "one byte",
      (copy) => writeFile(join(copy, "sub/file"), `${"x".repeat(3 * 1024 * 1024 - 1)}y`),
      /other bytes/,
    ],
    ["a length", (copy) => writeFile(join(copy, "sub/file"), "x"), /the copy 1$/],
    ["a mode", (copy) => chmod(join(copy, "sub/file"), 0o600), /the copy 600$/],
    ["an added file", (copy) => writeFile(join(copy, "sub/empty/new"), ""), /only in the copy/],
  ];
  for (const [what, change, sentence] of changes)
    it(`finds ${what}`, async () => {
      const { differences } = await compareTrees(...(await twins(change)));
      match(differences.join("\n"), sentence);
    });

  it("finds a missing file, a changed link and a changed time", async () => {
    const [left] = await twins(() => Promise.resolve());
    const right = join(folder.path, "other");
    await mkdir(right);
    await symlink("somewhere", join(right, "link"));
    const { differences } = await compareTrees(left, right);
    match(differences.join("\n"), /link: points elsewhere/);
    match(differences.join("\n"), /sub: is missing/);
    match(differences.join("\n"), /another time in the copy/);
  });
});
