// SPDX-License-Identifier: MIT
/**
 * Names of files are bytes, of any encoding or none. Inside the repository a name is a *byte string*: a JavaScript
 * string with one character of U+0000..U+00FF for each byte (Node's "latin1"), which is compact, sorts as its bytes do
 * and can be a key of a Map. To people and commands it is text: UTF-8 decoded, and each byte that is not part of
 * well-formed UTF-8 as a lone surrogate U+DC80..U+DCFF (Python's PEP 383), so that the way back is exact.
 */

import { isUtf8 } from "node:buffer";
import { Refusal } from "../refusal";

/** One character a byte. */
export type ByteString = string;

export const MAX_NAME_BYTES = 255;
export const MAX_PATH_BYTES = 4096;
export const MAX_DEPTH = 256;

const ascii = /^[\x00-\x7f]*$/;
const ESCAPE_BASE = 0xdc00;

export function toBytes(text: ByteString): Buffer {
  return Buffer.from(text, "latin1");
}

export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** Text for people; `toByteString` leads back to the same bytes. */
export function toText(name: ByteString): string {
  if (ascii.test(name)) return name;
  const bytes = toBytes(name);
  if (isUtf8(bytes)) return bytes.toString("utf8");
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length > 0) text += bytes.toString("utf8", at, at + length);
    else text += String.fromCharCode(ESCAPE_BASE + (bytes[at] ?? 0));
    at += Math.max(length, 1);
  }
  return text;
}

export function toByteString(text: string): ByteString {
  if (ascii.test(text)) return text;
  let bytes = "";
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code >= ESCAPE_BASE + 0x80 && code <= ESCAPE_BASE + 0xff)
      bytes += String.fromCharCode(code - ESCAPE_BASE);
    else bytes += Buffer.from(character, "utf8").toString("latin1");
  }
  return bytes;
}

/** Length of the well-formed UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++)
    if (isUtf8(bytes.subarray(at, at + length))) return length;
  return 0;
}

/** What a single name may be: anything that cannot leave its folder. */
export function isSafeName(name: ByteString): boolean {
  return (
    name.length > 0 &&
    name.length <= MAX_NAME_BYTES &&
    name !== "." &&
    name !== ".." &&
    !name.includes("/") &&
    !name.includes("\0")
  );
}

/** The parts of a remote path: absolute or against "/", "." and ".." resolved, "//" as "/". The root has none. */
export function parseRemotePath(path: string): ByteString[] {
  const parts: ByteString[] = [];
  for (const part of toByteString(path).split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      parts.pop();
      continue;
    }
    if (!isSafeName(part))
      throw new Refusal(
        "usage",
        `${JSON.stringify(path)} is not a path: a name in it is longer than 255 bytes or has a NUL`,
      );
    parts.push(part);
  }
  const bytes = parts.reduce((sum, part) => sum + part.length + 1, 0);
  if (bytes > MAX_PATH_BYTES || parts.length > MAX_DEPTH)
    throw new Refusal(
      "usage",
      `the remote path is too long: ${String(bytes)} bytes, ${String(parts.length)} folders deep`,
      {
        hint: `The limits are ${String(MAX_PATH_BYTES)} bytes and ${String(MAX_DEPTH)} folders.`,
      },
    );
  return parts;
}

export function formatRemotePath(parts: readonly ByteString[]): string {
  return `/${parts.map(toText).join("/")}`;
}
