// SPDX-License-Identifier: MIT
/**
 * One segment file of a log: header sector, then records, each from a sector of its own. Walking tells a torn tail, which
 * was never acknowledged, from damage that valid records follow. firmware/DESIGN.md "Logs".
 */
import {
  LOG_RECORDS_OFFSET,
  LOG_RECORD_HEADER_BYTES,
  LOG_SEGMENT_BYTES,
  SECTOR_BYTES,
  encodeSector,
  logRecord,
  logSegment,
  logSkip,
} from "../protocol/card-format";
import type { LogRecord, LogSegment } from "../protocol/card-format";
import { crc32 } from "../protocol/crc32";
import { entryHash } from "../protocol/log-chain";
import { isEqual } from "../protocol/session";
import { readSector } from "./card-sector";
import { toHex } from "./hex";
import type { Crypto, StorageFile } from "./io";
import { LOGS_FOLDER } from "./store-parts";

export function segmentPath(log: Uint8Array, number: number): string {
  return `${LOGS_FOLDER}/${toHex(log)}-${number.toString(16).padStart(8, "0")}`;
}

/** Room a record takes: whole sectors, so that no append writes a sector that holds an acknowledged entry. */
export function recordBytes(entryBytes: number): number {
  return Math.ceil((LOG_RECORD_HEADER_BYTES + entryBytes) / SECTOR_BYTES) * SECTOR_BYTES;
}

/** The record and its entry, padded to whole sectors. */
export function encodeRecord(
  segment: Uint8Array,
  sequence: number,
  hash: Uint8Array,
  entry: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(recordBytes(entry.length));
  bytes.set(
    encodeSector(logRecord, { segment, sequence, hash, entryBytes: entry.length, entryCrc: crc32(entry) }),
  );
  bytes.set(entry, LOG_RECORD_HEADER_BYTES);
  return bytes;
}

/** Where a walk stands: before the record `sequence` at `offset`, after the entry whose hash is `previous`. */
export interface SegmentPosition {
  sequence: number;
  offset: number;
  previous: Uint8Array;
}

export function segmentStart(header: LogSegment): SegmentPosition {
  return { sequence: header.firstSequence, offset: LOG_RECORDS_OFFSET, previous: header.previous };
}

export function readSegmentHeader(file: StorageFile, log: Uint8Array): LogSegment | undefined {
  const header = readSector(file, 0, logSegment) ?? readSector(file, 0, logSkip);
  return header && isEqual(header.log, log) ? header : undefined;
}

/** Whether the segment, whose header is whole, begins anew: those below it were given up for it. */
export function isSkip(file: StorageFile): boolean {
  return readSector(file, 0, logSkip) !== undefined;
}

/** The record header at `position`, or undefined when none that belongs there is whole. */
export function readRecord(
  file: StorageFile,
  segment: Uint8Array,
  position: SegmentPosition,
): LogRecord | undefined {
  if (position.offset + SECTOR_BYTES > LOG_SEGMENT_BYTES) return undefined;
  const found = readSector(file, position.offset, logRecord);
  return found?.sequence === position.sequence && isEqual(found.segment, segment) ? found : undefined;
}

export function afterRecord(position: SegmentPosition, found: LogRecord): SegmentPosition {
  return {
    sequence: position.sequence + 1,
    offset: position.offset + recordBytes(found.entryBytes),
    previous: found.hash,
  };
}

/**
 * Reads the entry of `found` into `into`; false when its bytes are not those whose hash the record names. SHA-256 and
 * not the record's CRC decides: the port has it natively.
 */
export function readEntry(
  file: StorageFile,
  crypto: Crypto,
  position: SegmentPosition,
  found: LogRecord,
  into: Uint8Array,
): boolean {
  if (file.read(into, position.offset + LOG_RECORD_HEADER_BYTES) !== into.length) return false;
  return isEqual(entryHash(crypto, position.previous, into), found.hash);
}

export interface WalkedSegment {
  /** After the last whole record. */
  end: SegmentPosition;
  /** A record that is damaged although a later one is whole. */
  damagedSequence: number | undefined;
}

/** All records of a segment; the entry of the last one is verified, those before it were flushed before it was written. */
export function walkSegment(file: StorageFile, crypto: Crypto, header: LogSegment): WalkedSegment {
  let position = segmentStart(header);
  let last: { position: SegmentPosition; found: LogRecord } | undefined;
  for (;;) {
    const found = readRecord(file, header.segment, position);
    if (!found) break;
    last = { position, found };
    position = afterRecord(position, found);
  }
  if (
    hasRecord(
      file,
      position.offset,
      (found) => isEqual(found.segment, header.segment) && found.sequence > position.sequence,
    )
  ) {
    return { end: position, damagedSequence: position.sequence };
  }
  if (last && !readEntry(file, crypto, last.position, last.found, new Uint8Array(last.found.entryBytes))) {
    position = last.position;
  }
  return { end: position, damagedSequence: undefined };
}

/** Whether a sector from `offset` on starts with a record that `isWanted`. */
export function hasRecord(
  file: StorageFile,
  offset: number,
  isWanted: (found: LogRecord) => boolean,
): boolean {
  for (let at = offset; at + SECTOR_BYTES <= LOG_SEGMENT_BYTES; at += SECTOR_BYTES) {
    const found = readSector(file, at, logRecord);
    if (found && isWanted(found)) return true;
  }
  return false;
}
