// SPDX-License-Identifier: MIT
/** How entries of a log are chained. SPEC.md "Logs". */
import { HASH_BYTES } from "./limits";

/** What `previous` is for the first entry of a log. */
export const NO_ENTRY: Uint8Array = new Uint8Array(HASH_BYTES);

/** SHA-256(previous | entry): the hash that the next append must name. */
export function entryHash(
  crypto: { createSha256(): { write(bytes: Uint8Array): void; close(): Uint8Array } },
  previous: Uint8Array,
  entry: Uint8Array,
): Uint8Array {
  const hash = crypto.createSha256();
  hash.write(previous);
  hash.write(entry);
  return hash.close();
}
