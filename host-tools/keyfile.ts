// SPDX-License-Identifier: MIT
/** A keyfile: 32 random bytes that open the repository in the place of a passphrase. Readable by its owner only. */

import { randomBytes } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { writePrivateFile } from "./private-files";
import { Refusal, fromFileError } from "./refusal";
import { SECRET_BYTES } from "./repository/key-secret";

/** Refuses to replace anything. */
export async function makeKeyfile(path: string): Promise<Uint8Array> {
  const bytes = randomBytes(SECRET_BYTES);
  await writePrivateFile(path, bytes, { exclusive: true });
  return bytes;
}

export async function readKeyfile(path: string): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { mode, size } = await file.stat();
    if (process.platform !== "win32" && (mode & 0o077) !== 0)
      throw new Refusal("localPermission", `the keyfile ${path} can be read by others than its owner`, {
        hint: `Run \`chmod 600 ${path}\`. If others may have read it, remove its key and make another.`,
      });
    if (size !== SECRET_BYTES)
      throw new Refusal(
        "damagedState",
        `${path} is no keyfile: it has ${String(size)} bytes instead of ${String(SECRET_BYTES)}`,
        {
          hint: "Use another key of the repository; `coffer key add --new-keyfile PATH` makes a keyfile.",
        },
      );
    return await file.readFile();
  } catch (error) {
    throw fromFileError(error, `cannot read the keyfile ${path}`);
  } finally {
    await file?.close();
  }
}
