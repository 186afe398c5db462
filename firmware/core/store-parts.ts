// SPDX-License-Identifier: MIT
/** What the files of the blob store share, and where a blob lies on the card. */
import { FailureCode } from "../protocol/verbs";
import type { DeviceLimits } from "./device-config";
import type { Crypto, Entropy, Log, Storage, Timers } from "./io";
import { Refusal } from "./refusal";
import type { UploadTable } from "./upload-table";

export interface StoreParts {
  readonly storage: Storage;
  readonly crypto: Crypto;
  readonly entropy: Entropy;
  readonly timers: Timers;
  readonly log: Log;
  readonly limits: DeviceLimits;
  readonly table: UploadTable;
  /** What is said to whoever wants to write on a card that can only be read. */
  readonly writeRefusal: string;
}

/** Throws on a card that can only be read. */
export function requireWritable(parts: StoreParts): void {
  if (!parts.table.isWritable) throw new Refusal(FailureCode.readOnly, parts.writeRefusal);
}

export const BLOBS_FOLDER = "blobs";
export const LOGS_FOLDER = "logs";

export function blobFolder(index: number): string {
  return `${BLOBS_FOLDER}/${index < 16 ? "0" : ""}${index.toString(16)}`;
}

export function blobPath(hexId: string): string {
  return `${BLOBS_FOLDER}/${hexId.slice(0, 2)}/${hexId}`;
}
