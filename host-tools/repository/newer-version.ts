// SPDX-License-Identifier: MIT
/**
 * What a newer Coffer wrote is refused by name wherever a hash or a seal vouches for the version: else it would pass for
 * damage, and a repair would give it up.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { Refusal } from "../refusal";

/** Throws for an error that is about a version; `what`: "the folder /a". */
export function refuseNewerVersion(error: unknown, what: string): void {
  if (error instanceof DataError && error.code === "version")
    throw new Refusal("newerVersion", `${what} was written by a newer Coffer`, {
      hint: "Update Coffer on this computer.",
      cause: error,
    });
}
