// SPDX-License-Identifier: MIT
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder for one suite, removed after it. Call inside `describe`. */
export function temporaryFolder(): { readonly path: string } {
  const folder = { path: "" };
  before(async () => {
    folder.path = await mkdtemp(join(tmpdir(), "coffer-test-"));
  });
  after(async () => {
    await rm(folder.path, { recursive: true, force: true });
  });
  return folder;
}
