// SPDX-License-Identifier: MIT
/** Our C, compiled with every warning an error: for Linux, and as far as that goes without their SDKs for ESP32 and Windows. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { projectRoot } from "../project-root";
import { quiet } from "./moddable-build";

const run = promisify(execFile);

const SHARED_C_FILES = [
  "firmware/platform/moddable/coffer-digest.c",
  "firmware/platform/moddable/coffer-files.c",
  "firmware/platform/moddable/coffer-folders.c",
  "firmware/platform/moddable/coffer-gcm.c",
  "firmware/platform/moddable/coffer-records.c",
  "firmware/platform/moddable/coffer-sha.c",
  "firmware/platform/moddable/coffer-system.c",
];
export const LINUX_C_FILES = [
  ...SHARED_C_FILES,
  "firmware/platform/moddable/posix/coffer-posix.c",
  "firmware/platform/moddable/posix/coffer-host.c",
  "firmware/platform/moddable/lin/coffer-tcp.c",
  "test-sim/moddable/program/coffer-cli-host.c",
];
export const ESP32_C_FILES = [
  ...SHARED_C_FILES,
  "firmware/platform/moddable/posix/coffer-posix.c",
  "firmware/platform/moddable/esp32/coffer-card.c",
  "firmware/platform/moddable/esp32/coffer-fat.c",
  "firmware/platform/moddable/esp32/coffer-radio.c",
];
export const WINDOWS_C_FILES = [...SHARED_C_FILES, "firmware/platform/moddable/win/coffer-win.c"];

/** Of Debian's mingw-w64. */
export const WINDOWS_COMPILER = "x86_64-w64-mingw32-gcc";
export const WARNINGS = ["-std=gnu17", "-Wall", "-Wextra", "-Werror"];

/** Those of `names` that are there. */
export async function installed(...names: string[]): Promise<string[]> {
  const found = [];
  for (const name of names) if ((await quiet(name, ["--version"])) === "") found.push(name);
  return found;
}

export type CTarget = "linux" | "esp32" | "windows";

/**
 * Where our C looks for headers, and as what it is compiled; ESP32 against the declarations in `esp-idf/`. `generated`: the
 * folder with mc.xs.h, the symbols of the build, which the linker makes.
 */
export async function cArguments(sdk: string, generated: string, target: CTarget): Promise<string[]> {
  // What is not ours is not judged: -isystem.
  const system = [
    ...["includes", "platforms", "sources"].map((name) => join(sdk, "xs", name)),
    join(sdk, "modules", "crypt", "digest", "kcl"),
    generated,
  ];
  const platform =
    target === "esp32"
      ? [
          "-DESP_PLATFORM",
          "-DCONFIG_IDF_TARGET_ESP32=1",
          "-I",
          join(projectRoot(), "test-sim/moddable/esp-idf"),
        ]
      : [];
  return [
    "-std=gnu17",
    "-DINCLUDE_XSPLATFORM=1",
    `-DXSPLATFORM="${target === "windows" ? "win_xs.h" : "lin_xs.h"}"`,
    "-DXS_ARCHIVE=1",
    "-DmxStringInfoCacheLength=4",
    ...platform,
    ...system.flatMap((folder) => ["-isystem", folder]),
    ...(target === "windows" ? [] : await glibFlags()),
  ];
}

export function cFiles(target: CTarget): string[] {
  return FILES[target].map((name) => join(projectRoot(), name));
}

/** What the compilers say, empty when all is well. */
export async function checkModdableC(sdk: string, generated: string, target: CTarget): Promise<string> {
  const options = [...WARNINGS, "-fsyntax-only", ...(await cArguments(sdk, generated, target))];
  // What one compiler is silent about the other may not be.
  const found = await installed(...(target === "windows" ? [WINDOWS_COMPILER] : ["cc", "clang"]));
  if (found.length === 0) return "no C compiler found";
  let said = "";
  for (const compiler of found) said += await quiet(compiler, [...options, ...cFiles(target)]);
  return said;
}

const FILES = { linux: LINUX_C_FILES, esp32: ESP32_C_FILES, windows: WINDOWS_C_FILES };

async function glibFlags(): Promise<string[]> {
  const { stdout } = await run("pkg-config", ["--cflags", "gio-2.0"]);
  return stdout
    .trim()
    .split(/\s+/)
    .flatMap((flag) => (flag.startsWith("-I") ? ["-isystem", flag.slice(2)] : [flag]));
}
