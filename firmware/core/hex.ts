// SPDX-License-Identifier: MIT
/** Ids as file names: lower-case hexadecimal. */

const DIGITS = "0123456789abcdef";

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += DIGITS.charAt(byte >> 4) + DIGITS.charAt(byte & 15);
  return text;
}

/** The bytes, or undefined when `text` is not exactly `count` bytes of lower-case hexadecimal. */
export function fromHex(text: string, count: number): Uint8Array | undefined {
  if (text.length !== 2 * count) return undefined;
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const high = DIGITS.indexOf(text.charAt(2 * i));
    const low = DIGITS.indexOf(text.charAt(2 * i + 1));
    if (high < 0 || low < 0) return undefined;
    bytes[i] = high * 16 + low;
  }
  return bytes;
}
