// SPDX-License-Identifier: MIT
/** Downloads an index blob and holds it against its id: it is small, and nothing else of it needs to be checked. */

import { createHash } from "node:crypto";
import { Refusal } from "../../refusal";
import type { BlobDevice } from "../blob-device";
import { MAX_INDEX_BLOB_BYTES } from "../index-blob";
import type { IndexBlobDamage } from "./damage";

/** The blob, or what is wrong with it. */
export async function readIndexBlob(
  device: BlobDevice,
  id: Uint8Array,
): Promise<{ blob: Uint8Array } | { damage: IndexBlobDamage }> {
  const damage = { device: device.name, id, kind: "damaged" as const };
  try {
    const blob = await device.get(id, 0, MAX_INDEX_BLOB_BYTES);
    if (createHash("sha256").update(blob).digest().equals(id)) return { blob };
    return { damage: { ...damage, reason: "its bytes are not those that were stored" } };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.kind === "missingBlob")
      return { damage: { ...damage, kind: "missing", reason: "it is not there" } };
    if (error.kind !== "corruptedBlob" && error.kind !== "cardFailed") throw error;
    return { damage: { ...damage, reason: error.message } };
  }
}
