// SPDX-License-Identifier: MIT
/** What the firmware's C asks of a system, on this one; and for Windows, where mingw-w64 and Wine are installed. Needs no SDK. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { temporaryFolder } from "../../host-tools/test/temporary-folder";
import { projectRoot } from "../project-root";
import { quiet } from "./moddable-build";
import { WARNINGS, WINDOWS_COMPILER, installed } from "./moddable-c";

const run = promisify(execFile);
const CHECKS = 36;
const WINE_MS = 120_000; // the first run makes its own Windows folder
const PLATFORM = "firmware/platform/moddable";

describe("the firmware's files", function () {
  this.timeout(WINE_MS);
  const folder = temporaryFolder();

  async function build(compiler: string, ...files: string[]): Promise<string> {
    const program = join(folder.path, `check-${compiler}.exe`);
    const sources = ["test-sim/moddable/disk-check.c", ...files.map((name) => `${PLATFORM}/${name}`)];
    const paths = sources.map((name) => join(projectRoot(), name));
    assert.equal(await quiet(compiler, [...WARNINGS, "-o", program, ...paths]), "");
    return program;
  }

  async function requireGood(program: string, args: string[], env?: NodeJS.ProcessEnv): Promise<void> {
    const { stdout } = await run(program, args, env ? { env } : {}).catch((error: unknown) => {
      const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
      throw new Error(`the checks failed:\n${stdout}${stderr}`);
    });
    const lines = stdout.split(/\r?\n/).filter((line) => line !== "");
    assert.deepEqual(
      lines.filter((line) => !line.startsWith("ok ")),
      [],
    );
    assert.equal(lines.length, CHECKS);
  }

  it("are what they should be on this computer", async () => {
    const root = join(folder.path, "here");
    await mkdir(root);
    const program = await build("cc", "posix/coffer-posix.c", "posix/coffer-host.c");
    await requireGood(program, [root]);
  });

  it("are what they should be for Windows, as far as Wine is one", async function () {
    if ((await installed(WINDOWS_COMPILER)).length === 0) this.skip();
    const program = await build(WINDOWS_COMPILER, "win/coffer-win.c");
    const wine = ["/usr/bin/wine64", "/usr/lib/wine/wine64"].find((path) => existsSync(path));
    if (wine === undefined) this.skip();
    const root = join(folder.path, "there");
    await mkdir(root);
    await requireGood(wine, [program, `Z:${root}`], {
      ...process.env,
      WINEPREFIX: join(folder.path, "wine"),
      WINEDEBUG: "-all",
      DISPLAY: "",
    });
  });
});
