// SPDX-License-Identifier: MIT
/** What the files of the blob store share, and where a blob lies on the card. */
import type { DeviceLimits } from "./device-config";
import type { Crypto, Entropy, Log, Storage, Timers } from "./io";
import type { UploadTable } from "./upload-table";

export interface StoreParts {
  readonly storage: Storage;
  readonly crypto: Crypto;
  readonly entropy: Entropy;
  readonly timers: Timers;
  readonly log: Log;
  readonly limits: DeviceLimits;
  readonly table: UploadTable;
}

export const BLOBS_FOLDER = "blobs";
export const LOGS_FOLDER = "logs";

export function blobFolder(index: number): string {
  return `${BLOBS_FOLDER}/${index < 16 ? "0" : ""}${index.toString(16)}`;
}

export function blobPath(hexId: string): string {
  return `${BLOBS_FOLDER}/${hexId.slice(0, 2)}/${hexId}`;
}
