// SPDX-License-Identifier: MIT
/**
 * Builds what `mcconfig -d -m -p lin` at the top of the repository builds, with a device's identity in it, except that mcconfig
 * gets the sources as JavaScript (see moddable-build.ts). Every line of that still names its .ts line, so that breakpoints are
 * set there.
 */
import { execFile } from "node:child_process";
import { copyFile, cp, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

import { cacheOf, copySources, moddableEnvironment, outputOf } from "./moddable-build";

const run = promisify(execFile);

const FOLDERS = [
  "firmware/protocol",
  "firmware/core",
  "firmware/platform/moddable",
  "firmware/platform/moddable/lin",
  "firmware/platform/moddable/posix",
];
const FILES = ["manifest.json", "firmware/platform/moddable/typings/sdk.d.ts"];
const NAME = "coffer";
/** The image's name for whatever device is in it, so that make sees the same files change. */
const DEVICE = "scenario";

export interface SimulatorImageOptions {
  sdk: string;
  /** What `coffer device add` wrote for it. */
  certs: string;
  /** Of the build: `NAME=VALUE` behind mcconfig. */
  settings: Readonly<Record<string, string>>;
  /** Where the image goes. */
  image: string;
}

/** One at a time: all images are made in one folder, so that the next takes seconds. */
export async function buildSimulatorImage(options: SimulatorImageOptions): Promise<void> {
  const { sdk, certs, settings, image } = options;
  const work = join(cacheOf(sdk), "simulator");
  const sources = join(work, NAME);
  const out = join(work, "out");
  await mkdir(out, { recursive: true });
  await copySources(sources, FOLDERS, FILES, { namesLines: true });
  await cp(certs, join(sources, "certs", DEVICE), { recursive: true });
  const words = ["-d", "-m", "-p", "lin", "-t", "build", "-o", out, join(sources, "manifest.json")];
  for (const [name, value] of Object.entries(settings)) words.push(`${name}=${value}`);
  await run("mcconfig", words, {
    env: { ...moddableEnvironment(sdk), COFFER_DEVICE: DEVICE },
    maxBuffer: 16 * 1024 * 1024,
  }).catch((error: unknown) => {
    throw new Error(`mcconfig failed:\n${outputOf(error)}`);
  });
  await mkdir(dirname(image), { recursive: true });
  await copyFile(join(out, "bin", "lin", "mc", "debug", NAME, "mc.so"), image);
}
