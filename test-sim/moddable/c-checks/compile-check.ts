// SPDX-License-Identifier: MIT
/** Builds a program of this folder with the C that it checks and the SDK's; for ESP32 with ESP-IDF's part played. */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { projectRoot } from "../../project-root";
import { cArguments } from "../moddable-c";

const CHECKS = {
  gcm: { own: "coffer-gcm.c", sdk: "fips197.c", standIn: "esp-aes-stand-in.c" },
  sha: { own: "coffer-sha.c", sdk: "fips180.c", standIn: "esp-sha-stand-in.c" },
} as const;

/** Returns the program. */
export async function compileCheck(
  sdk: string,
  name: keyof typeof CHECKS,
  target: "linux" | "esp32",
): Promise<string> {
  const root = projectRoot();
  const folder = join(root, "test-sim", ".cache", "c-checks");
  await mkdir(folder, { recursive: true });
  const here = join(root, "test-sim/moddable/c-checks");
  const program = join(folder, `${name}-${target}`);
  const { own, sdk: theirs, standIn } = CHECKS[name];
  await promisify(execFile)("cc", [
    "-O2",
    // The SDK's C shifts bytes into the sign.
    "-fsanitize=address,undefined",
    "-fno-sanitize=shift",
    "-fno-sanitize-recover",
    ...(await cArguments(sdk, folder, target)),
    "-I",
    join(root, "firmware/platform/moddable"),
    join(here, `${name}-check.c`),
    join(root, "firmware/platform/moddable", own),
    ...(target === "esp32" ? [join(here, standIn)] : []),
    join(sdk, "modules/crypt/digest/kcl", theirs),
    "-o",
    program,
  ]);
  return program;
}
