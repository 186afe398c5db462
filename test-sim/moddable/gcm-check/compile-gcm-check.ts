// SPDX-License-Identifier: MIT
/** Builds gcm-check.c with coffer-gcm.c and the SDK's AES into `folder`, for ESP32 with ESP-IDF's played; returns the program. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { projectRoot } from "../../project-root";
import { cArguments } from "../moddable-build";

export async function compileGcmCheck(
  sdk: string,
  folder: string,
  target: "linux" | "esp32",
): Promise<string> {
  const root = projectRoot();
  const program = join(folder, `gcm-check-${target}`);
  const standIns = target === "esp32" ? [join(root, "test-sim/moddable/gcm-check/esp-aes-stand-in.c")] : [];
  await promisify(execFile)("cc", [
    "-O2",
    // The SDK's AES shifts bytes into the sign.
    "-fsanitize=address,undefined",
    "-fno-sanitize=shift",
    "-fno-sanitize-recover",
    ...(await cArguments(sdk, folder, target)),
    "-I",
    join(root, "firmware/platform/moddable"),
    join(root, "test-sim/moddable/gcm-check/gcm-check.c"),
    join(root, "firmware/platform/moddable/coffer-gcm.c"),
    ...standIns,
    join(sdk, "modules/crypt/digest/kcl/fips197.c"),
    "-o",
    program,
  ]);
  return program;
}
