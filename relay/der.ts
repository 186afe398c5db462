// SPDX-License-Identifier: MIT
/** Just enough DER (X.690) to walk a list of revoked certificates. Every failure is a DataError. */
import { DataError } from "../firmware/protocol/data-error";

export interface DerValue {
  tag: number;
  /** With its tag and length: what a signature covers. */
  whole: Uint8Array;
  content: Uint8Array;
}

export const DerTag = {
  integer: 0x02,
  bitString: 0x03,
  objectIdentifier: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const;

/** The values that follow each other in `bytes`, at most `limit`. */
export function readDer(bytes: Uint8Array, limit: number): DerValue[] {
  const values: DerValue[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (values.length === limit) throw new DataError("range", "DER: too many values");
    const tag = bytes[at] ?? 0;
    let length = bytes[at + 1];
    if (length === undefined) throw new DataError("short", "DER: ends in a header");
    let start = at + 2;
    if (length >= 0x80) {
      const digits = length - 0x80;
      if (digits < 1 || digits > 4) throw new DataError("range", "DER: length of length");
      length = 0;
      for (let i = 0; i < digits; i++) length = length * 256 + (bytes[start++] ?? 0);
    }
    if (length > bytes.length - start) throw new DataError("short", "DER: ends in a value");
    values.push({
      tag,
      whole: bytes.subarray(at, start + length),
      content: bytes.subarray(start, start + length),
    });
    at = start + length;
  }
  return values;
}
