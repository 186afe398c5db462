// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { inSources } from "./source-positions";

describe("a stack trace in terms of the sources", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "coffer-stack-"));
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  it("names the line of the source where the bundle was", async () => {
    writeFileSync(
      join(folder, "defect.ts"),
      "interface Nothing {}\n\nexport function fail(what: Nothing) {\n  throw what;\n}\n",
    );
    const bundle = join(folder, "dist", "defect.js");
    await build({
      entryPoints: [join(folder, "defect.ts")],
      outfile: bundle,
      bundle: true,
      sourcemap: true,
      minify: true,
      format: "esm",
    });
    const url = pathToFileURL(bundle).href;
    const stack = `Error: x\n    at fail (${url}:1:15)\n    at ${url}.other:1:1\n    at node:events:1:1`;
    const [, first = "", ...others] = inSources(stack).split("\n");
    assert.match(first, /^ {4}at fail \(.*defect\.ts:4:\d+\)$/);
    assert.deepEqual(others, stack.split("\n").slice(2));
  });

  it("stays as it is where there is no map", () => {
    const stack = "Error: x\n    at run (file:///nowhere/dist/cli.js:10:5)";
    assert.equal(inSources(stack), stack);
  });
});
