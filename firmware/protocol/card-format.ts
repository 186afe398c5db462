// SPDX-License-Identifier: MIT
/**
 * What is on the card, byte by byte. SPEC.md "Card"; firmware/DESIGN.md argues why it survives the plug.
 *
 *   card              marker sector: this card is initialised
 *   uploads           MAX_UPLOADS sectors: which blobs are being uploaded; then one: the log segment being removed
 *   blobs/ab/<id>     blob file: 4096 bytes of header sectors, then the blob's bytes
 *   logs/<id>-<n>     segment n of a log: header sector, then records, each from a sector of its own
 *
 * Every structure fits one 512-byte sector, starts with a magic and ends with a CRC-32 of what is before it, so that
 * a half-written sector is never taken for a whole one.
 */
import { DataError } from "./data-error";
import { crc32 } from "./crc32";
import { CARD_VERSION, HASH_BYTES, MAX_BLOB_BYTES, MAX_ENTRY_BYTES } from "./limits";
import { ByteReader } from "./byte-reader";
import { encode, fixed, record, u16, u32, u53, u8 } from "./message";
import type { Field } from "./message";

export const SECTOR_BYTES = 512;
/** Where a blob's bytes start in its file. */
export const BLOB_DATA_OFFSET = 4096;
export const BLOB_IDENTITY_OFFSET = 0;
/** Two places written in turn, so that the older survives a torn write of the newer. */
export const BLOB_PROGRESS_OFFSETS = [512, 1024] as const;
export const BLOB_COMMIT_OFFSET = 1536;
export const LOG_SEGMENT_BYTES = 64 * 1024;
export const LOG_RECORDS_OFFSET = 512;

interface Sealed<T> {
  readonly magic: number;
  readonly fields: Field<T>;
}

function sector<T extends object>(magic: string, fields: { [K in keyof T]: Field<T[K]> }): Sealed<T> {
  let number = 0;
  for (let i = 0; i < 4; i++) number = number * 256 + magic.charCodeAt(i);
  return { magic: number, fields: record<T>(fields) };
}

export interface CardMarker {
  version: number;
  /** Random, made when the card was initialised: tells a swapped card. */
  cardId: Uint8Array;
}
export const cardMarker = sector<CardMarker>("CFcd", { version: u8, cardId: fixed(16) });

/** One slot of `uploads`: all zero (or anything without a valid CRC) is a free slot. */
export interface UploadSlot {
  id: Uint8Array;
  sizeBytes: number;
  /** Grows with every upload: the lowest is the oldest. */
  generation: number;
}
export const uploadSlot = sector<UploadSlot>("CFup", {
  id: fixed(HASH_BYTES),
  sizeBytes: u53,
  generation: u53,
});

/** The segment of a log that is on its way out; anything without a valid CRC: none is. */
export interface LogTrim {
  log: Uint8Array;
  segment: number;
}
export const logTrim = sector<LogTrim>("CFtr", { log: fixed(HASH_BYTES), segment: u32 });

export interface BlobIdentity {
  version: number;
  id: Uint8Array;
  sizeBytes: number;
  /** Random, made for this upload: ties progress and commit to this very file and not to what a cluster held before. */
  upload: Uint8Array;
}
export const blobIdentity = sector<BlobIdentity>("CFid", {
  version: u8,
  id: fixed(HASH_BYTES),
  sizeBytes: u53,
  upload: fixed(16),
});

export interface BlobProgress {
  upload: Uint8Array;
  /** The higher of the two places counts. */
  generation: number;
  /** So many bytes of the blob were flushed before this sector was written. */
  durableBytes: number;
}
export const blobProgress = sector<BlobProgress>("CFpr", {
  upload: fixed(16),
  generation: u32,
  durableBytes: u53,
});

export interface BlobCommit {
  upload: Uint8Array;
  id: Uint8Array;
  sizeBytes: number;
}
export const blobCommit = sector<BlobCommit>("CFok", {
  upload: fixed(16),
  id: fixed(HASH_BYTES),
  sizeBytes: u53,
});

export interface LogSegment {
  version: number;
  log: Uint8Array;
  /** Random: ties the records to this segment. */
  segment: Uint8Array;
  /** Sequence of the first entry, and the hash of the entry before it (32 zero bytes at the start). */
  firstSequence: number;
  previous: Uint8Array;
}
const segmentFields = {
  version: u8,
  log: fixed(HASH_BYTES),
  segment: fixed(16),
  firstSequence: u53,
  previous: fixed(HASH_BYTES),
};
export const logSegment = sector<LogSegment>("CFls", segmentFields);
/** Header of a segment that does not go on from the one below: once a record in it is whole, those below are given up. */
export const logSkip = sector<LogSegment>("CFsk", segmentFields);

/** Followed by the entry's bytes and padding to the next sector; `entryCrc` is the CRC-32 of those bytes. */
export interface LogRecord {
  segment: Uint8Array;
  sequence: number;
  hash: Uint8Array;
  entryBytes: number;
  entryCrc: number;
}
export const logRecord = sector<LogRecord>("CFlr", {
  segment: fixed(16),
  sequence: u53,
  hash: fixed(HASH_BYTES),
  entryBytes: u16,
  entryCrc: u32,
});
/** magic, fields, CRC: where the entry starts behind the record's first byte. */
export const LOG_RECORD_HEADER_BYTES = 4 + 16 + 8 + 32 + 2 + 4 + 4;

/** magic | fields | CRC-32 of both, in a buffer of just that length. */
export function encodeSector<T>(kind: Sealed<T>, value: T): Uint8Array {
  const body = encode(kind.fields, value);
  const bytes = new Uint8Array(body.length + 8);
  putU32(bytes, 0, kind.magic);
  bytes.set(body, 4);
  putU32(bytes, body.length + 4, crc32(bytes.subarray(0, body.length + 4)));
  return bytes;
}

/** The value at the start of `bytes` (the rest is not looked at), or DataError "short", "checksum", "range". */
export function decodeSector<T>(kind: Sealed<T>, bytes: Uint8Array): T {
  const reader = new ByteReader(bytes);
  if (reader.u32() !== kind.magic) throw new DataError("checksum", "card: magic does not match");
  const value = kind.fields.read(reader);
  const length = bytes.length - reader.remaining;
  if (reader.u32() !== crc32(bytes.subarray(0, length)))
    throw new DataError("checksum", "card: CRC does not match");
  judge(value as Record<string, unknown>);
  return value;
}

function judge(value: Record<string, unknown>): void {
  const within = (name: string, limit: number): void => {
    const number = value[name];
    if (typeof number === "number" && number > limit)
      throw new DataError("range", `card: ${name} above ${String(limit)}`);
  };
  within("sizeBytes", MAX_BLOB_BYTES);
  within("durableBytes", MAX_BLOB_BYTES);
  within("entryBytes", MAX_ENTRY_BYTES);
  if (typeof value.version === "number" && value.version !== CARD_VERSION) {
    throw new DataError(
      "version",
      `card: version ${String(value.version)}, this firmware reads ${String(CARD_VERSION)}`,
    );
  }
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = (value >>> 16) & 0xff;
  bytes[at + 2] = (value >>> 8) & 0xff;
  bytes[at + 3] = value & 0xff;
}
