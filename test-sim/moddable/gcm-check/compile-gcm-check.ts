// SPDX-License-Identifier: MIT
/** Builds gcm-check.c with coffer-gcm.c and the SDK's AES into `folder`; returns the program. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { projectRoot } from "../../project-root";
import { cArguments } from "../moddable-build";

export async function compileGcmCheck(sdk: string, folder: string): Promise<string> {
  const root = projectRoot();
  const program = join(folder, "gcm-check");
  await promisify(execFile)("cc", [
    "-O2",
    // The SDK's AES shifts bytes into the sign.
    "-fsanitize=address,undefined",
    "-fno-sanitize=shift",
    "-fno-sanitize-recover",
    ...(await cArguments(sdk, folder, "linux")),
    "-I",
    join(root, "firmware/platform/moddable"),
    join(root, "test-sim/moddable/gcm-check/gcm-check.c"),
    join(root, "firmware/platform/moddable/coffer-gcm.c"),
    join(sdk, "modules/crypt/digest/kcl/fips197.c"),
    "-o",
    program,
  ]);
  return program;
}
