// SPDX-License-Identifier: MIT
/**
 * What the other of two concurrent versions of a file is called: "name (conflict from laptop, 2026-11-21).txt". A
 * function of its arguments alone, so that every computer comes to the same name. docs/repository.md "Several writers".
 */

import { type ByteString, MAX_NAME_BYTES, toByteString } from "./byte-names";

/** A computer's name takes no more of the file's. */
const MAX_COMPUTER_BYTES = 64;
/** A longer "extension" is part of the name. */
const MAX_EXTENSION_BYTES = 32;
/** The last millisecond of the year 9999: later clocks are wrong, and their dates would have another form. */
const MAX_TIME_MS = 253_402_300_799_999;

export interface ConflictOrigin {
  /** What the computer is called that wrote the version. */
  computer: string;
  timeMs: number;
}

/** `attempt` from 1 on: the second and later ones have their number at the end. */
export function conflictName(name: ByteString, origin: ConflictOrigin, attempt: number): ByteString {
  const dot = name.lastIndexOf(".");
  const isExtension = dot > 0 && name.length - dot <= MAX_EXTENSION_BYTES;
  const extension = isExtension ? name.slice(dot) : "";
  const stem = isExtension ? name.slice(0, dot) : name;
  const date = new Date(Math.min(origin.timeMs, MAX_TIME_MS)).toISOString().slice(0, 10);
  const computer = shortened(toByteString(safe(origin.computer)), MAX_COMPUTER_BYTES);
  const number = attempt > 1 ? ` ${String(attempt)}` : "";
  const mark = ` (conflict from ${computer}, ${date})${number}`;
  return shortened(stem, MAX_NAME_BYTES - mark.length - extension.length) + mark + extension;
}

/** At most `bytes` bytes, without half a UTF-8 character at the end. */
function shortened(name: ByteString, bytes: number): ByteString {
  if (name.length <= bytes) return name;
  let end = bytes;
  // A character has at most three bytes after its first; a name that is not UTF-8 is cut anywhere.
  while (end > bytes - 4 && isContinuation(name, end)) end--;
  return name.slice(0, isContinuation(name, end) ? bytes : end);
}

function isContinuation(name: ByteString, at: number): boolean {
  return (name.charCodeAt(at) & 0xc0) === 0x80;
}

/** A computer may have called itself anything. */
function safe(computer: string): string {
  return computer.replaceAll(/[/\u0000-\u001f\u007f]/g, "_");
}
