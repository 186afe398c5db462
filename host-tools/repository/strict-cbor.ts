// SPDX-License-Identifier: MIT
/** CBOR in its deterministic form only, and what is expected in it: everything else is a DataError. */

import { decode } from "cborg";
import { DataError } from "../../firmware/protocol/data-error";

const MAX_TEXT = 200;

export function strictDecode(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      rejectDuplicateMapKeys: true,
    }) as unknown;
  } catch (error) {
    throw new DataError("type", `not the CBOR expected: ${(error as Error).message}`);
  }
}

export function asRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw new DataError("type", `${what}: expected a map`);
  return value as Record<string, unknown>;
}

export function asArray(value: unknown, limit: number, what: string): unknown[] {
  if (!Array.isArray(value) || value.length > limit) throw new DataError("type", `${what}: expected a list`);
  return value as unknown[];
}

export function asBytes(value: unknown, least: number, most: number, what: string): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most)
    throw new DataError("type", `${what}: expected bytes`);
  return value;
}

export function asNumber(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new DataError("type", `${what}: expected a number`);
  return value;
}

export function asText(value: unknown, what: string): string {
  if (typeof value !== "string" || value.length > MAX_TEXT)
    throw new DataError("type", `${what}: expected text`);
  return value;
}
