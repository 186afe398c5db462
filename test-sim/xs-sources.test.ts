// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fetchTarball } from "./xs-sources";

describe("the sources of the XS engine", () => {
  let folder: string;
  const given = process.env.COFFER_XS_TARBALL; // other tests build with it
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "coffer-xs-"));
  });
  afterEach(() => {
    if (given === undefined) delete process.env.COFFER_XS_TARBALL;
    else process.env.COFFER_XS_TARBALL = given;
    rmSync(folder, { recursive: true });
  });

  it("are refused when the tarball is another one", async () => {
    process.env.COFFER_XS_TARBALL = join(folder, "other.tgz");
    writeFileSync(process.env.COFFER_XS_TARBALL, "not it");
    await assert.rejects(fetchTarball(folder), /is not the tarball of @agoric\/xsnap@0\.15\.0/);
  });

  it("are asked for when the tarball that was named is not there", async () => {
    process.env.COFFER_XS_TARBALL = join(folder, "missing.tgz");
    await assert.rejects(fetchTarball(folder), /cannot be read: set COFFER_XS_TARBALL/);
  });

  it("cannot be had without npm, and the refusal says what to do", async () => {
    delete process.env.COFFER_XS_TARBALL;
    const path = process.env.PATH;
    process.env.PATH = folder;
    try {
      await assert.rejects(fetchTarball(folder), /could not be fetched .* set COFFER_XS_TARBALL/);
    } finally {
      process.env.PATH = path;
    }
  });
});
