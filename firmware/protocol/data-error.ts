// SPDX-License-Identifier: MIT
/** The one error every decoder throws: bytes that are not what the format says. */

export type DataErrorCode =
  | "short" // ends before the value does
  | "long" // bytes left over after the value
  | "range" // a length or number outside its limit
  | "text" // not well-formed UTF-8, or a character the field forbids
  | "type" // an unknown message or frame type
  | "version" // no version in common
  | "checksum" // a CRC or magic does not match
  | "forged"; // an authentication tag or proof does not match

export class DataError extends Error {
  /** A field and not an assignment: on a device the prototypes of the engine are read-only. */
  override readonly name = "DataError";
  readonly code: DataErrorCode;
  constructor(code: DataErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
