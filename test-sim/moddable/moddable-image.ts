// SPDX-License-Identifier: MIT
/**
 * The image of the root manifest, as far as it can be made without Espressif's tools: mcconfig, the compiler of byte code and
 * the linker that runs what is preloaded. What is missing, named twice, or cannot be frozen into flash shows here.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { cacheOf, copySources, moddableEnvironment, quiet } from "./moddable-build";

const FOLDERS = [
  "firmware/protocol",
  "firmware/core",
  "firmware/platform/moddable",
  "firmware/platform/moddable/esp32",
  "firmware/platform/moddable/esp32/sdkconfig",
  "firmware/platform/moddable/lin",
  "firmware/platform/moddable/mac",
  "firmware/platform/moddable/posix",
  "firmware/platform/moddable/win",
];
const FILES = ["manifest.json", "firmware/platform/moddable/typings/sdk.d.ts"];
/** What `coffer device add` writes: here no device's. */
const IDENTITY = [
  "relay-authority.der",
  "device.der",
  "device-authority.der",
  "device-key.der",
  "device.json",
];
const DEVICE = "nobody";
/** The SDK's rules for Windows are for its own make; those of macOS make the same of modules, up to the link. */
const WINDOWS_MANIFEST = "windows.json";
const FOREIGN_RULES = JSON.stringify({
  include: ["./manifest.json"],
  build: { MAKE_FRAGMENT: "$(MODDABLE)/tools/mcconfig/make.mac.mk" },
});
const NAME = "coffer";

export interface ModdableImage {
  /** What the tools complained about; empty when the image was linked. */
  said: string;
  /** mc.xs.c, mc.resources.c, and on ESP32 the project folder that ESP-IDF would get. */
  generated: string;
}

export async function linkImage(
  sdk: string,
  platform: "esp32" | "lin" | "mac" | "win",
): Promise<ModdableImage> {
  const work = join(cacheOf(sdk), `image-${platform}`);
  // Its name becomes the image's.
  const sources = join(work, NAME);
  const out = join(work, "out");
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await copySources(sources, FOLDERS, FILES);
  await mkdir(join(sources, "certs", DEVICE), { recursive: true });
  for (const name of IDENTITY) await writeFile(join(sources, "certs", DEVICE, name), name);
  const env = { ...moddableEnvironment(sdk), COFFER_DEVICE: DEVICE };
  const manifest = join(sources, platform === "win" ? WINDOWS_MANIFEST : "manifest.json");
  if (platform === "win") await writeFile(manifest, FOREIGN_RULES);
  // A simulator's kind comes between.
  const kind = platform === "esp32" ? [] : ["mc"];
  const generated = join(out, "tmp", platform, ...kind, "release", NAME);
  let said = await quiet("mcconfig", ["-p", platform, "-o", out, manifest], env);
  if (said === "") {
    const noSettings = join(out, "empty.h");
    await writeFile(noSettings, "");
    // ESP-IDF's folder only has to have a name.
    const variables =
      platform === "esp32" ? [`IDF_PATH=${out}`, "IDF_VERSION=v6.0", `SDKCONFIG_H=${noSettings}`] : [];
    const targets = ["mc.xs.c", "mc.resources.c"].map((name) => join(generated, name));
    said = await quiet("make", ["-f", join(generated, "makefile"), ...variables, ...targets], env);
  }
  return { said, generated };
}
