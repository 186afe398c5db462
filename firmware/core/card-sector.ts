// SPDX-License-Identifier: MIT
/**
 * Reading and writing one sector structure of `protocol/card-format`. A sector that a power cut tore reads as nothing
 * here, whether its CRC is wrong or the card refuses to read it.
 */
import { DataError } from "../protocol/data-error";
import { SECTOR_BYTES, decodeSector, encodeSector } from "../protocol/card-format";
import { StorageError } from "./io";
import type { StorageFile } from "./io";

/** No structure is longer. */
const STRUCTURE_BYTES = 128;

type Kind<T> = Parameters<typeof decodeSector<T>>[0];

/** The structure at `positionBytes`, or undefined when there is none that is whole. Throws for a missing card. */
export function readSector<T>(file: StorageFile, positionBytes: number, kind: Kind<T>): T | undefined {
  const bytes = new Uint8Array(STRUCTURE_BYTES);
  try {
    const count = file.read(bytes, positionBytes);
    return decodeSector(kind, bytes.subarray(0, count));
  } catch (error) {
    if (error instanceof DataError) return undefined;
    if (error instanceof StorageError && error.code === "io") return undefined;
    throw error;
  }
}

/** A whole sector, so that the card's driver need not read before it writes. */
export function sectorOf<T>(kind: Kind<T>, value: T): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  bytes.set(encodeSector(kind, value));
  return bytes;
}

export function writeSector<T>(file: StorageFile, positionBytes: number, kind: Kind<T>, value: T): void {
  file.write(sectorOf(kind, value), positionBytes);
}
