// SPDX-License-Identifier: MIT
/**
 * The bytes of a push's journal: batches of records, each u32 length | 4 bytes of the SHA-256 of the records | records, a
 * record u32 length | u8 type | body; the first batch that does not fit ends the journal. docs/repository.md "Interrupted pushes".
 */

import { createHash } from "node:crypto";

export const RecordType = { file: 1, chunk: 2, hole: 3, pack: 4 } as const;
export const BATCH_HEADER_BYTES = 8;
export const RECORD_HEADER_BYTES = 5;
export const MAX_BATCH_BYTES = 4 * 1024 * 1024;

export function batchChecksum(records: Uint8Array): Buffer {
  return createHash("sha256").update(records).digest().subarray(0, 4);
}
