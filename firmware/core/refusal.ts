// SPDX-License-Identifier: MIT
/** Why a request is refused: a code of `FailureCode` and a sentence for people. */
import { FailureCode } from "../protocol/verbs";
import { DataError } from "../protocol/data-error";
import { StorageError } from "./io";

export class Refusal extends Error {
  /** A field and not an assignment: on a device the prototypes of the engine are read-only. */
  override readonly name = "Refusal";
  /** One of FailureCode. */
  readonly code: number;
  constructor(code: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

const STORAGE_CODES = {
  notFound: FailureCode.notFound,
  exists: FailureCode.cardFailed,
  full: FailureCode.cardFull,
  readOnly: FailureCode.readOnly,
  noCard: FailureCode.noCard,
  unformatted: FailureCode.cardFailed,
  io: FailureCode.cardFailed,
} as const;

/** Whatever was thrown, as a refusal; a request never ends its device. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof StorageError)
    return new Refusal(STORAGE_CODES[error.code], `card: ${error.message}`, { cause: error });
  if (error instanceof DataError) return new Refusal(FailureCode.badRequest, error.message, { cause: error });
  return new Refusal(FailureCode.cardFailed, `internal: ${messageOf(error)}`, { cause: error });
}

/** The message of an error, and something printable for what is none. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
