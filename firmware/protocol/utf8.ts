// SPDX-License-Identifier: MIT
/** Strict UTF-8 (RFC 3629) for hosts without TextEncoder: no surrogates, no overlong forms, nothing past U+10FFFF. */
import { DataError } from "./data-error";

/** Throws RangeError for a lone surrogate, which UTF-8 cannot carry. */
export function encodeUtf8(text: string): Uint8Array {
  // four a unit: engines that store UTF-8 count a character outside the basic plane as one, others as two
  const bytes = new Uint8Array(text.length * 4);
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) {
      bytes[length++] = point;
    } else if (point < 0x800) {
      bytes[length++] = 0xc0 | (point >> 6);
      bytes[length++] = 0x80 | (point & 0x3f);
    } else if (point < 0x10000) {
      if (point >= 0xd800 && point <= 0xdfff) throw new RangeError("text: lone surrogate");
      bytes[length++] = 0xe0 | (point >> 12);
      bytes[length++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[length++] = 0x80 | (point & 0x3f);
    } else {
      bytes[length++] = 0xf0 | (point >> 18);
      bytes[length++] = 0x80 | ((point >> 12) & 0x3f);
      bytes[length++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[length++] = 0x80 | (point & 0x3f);
    }
  }
  return bytes.slice(0, length);
}

/** Throws DataError "text" for anything that is not exactly what `encodeUtf8` makes. */
export function decodeUtf8(bytes: Uint8Array): string {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at++] ?? 0;
    if (first < 0x80) {
      text += String.fromCharCode(first);
      continue;
    }
    const extra = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || at + extra > bytes.length) throw new DataError("text", "not UTF-8");
    let point = first & (0x3f >> extra);
    for (let i = 0; i < extra; i++) {
      const next = bytes[at++] ?? 0;
      if ((next & 0xc0) !== 0x80) throw new DataError("text", "not UTF-8");
      point = (point << 6) | (next & 0x3f);
    }
    const least = extra === 1 ? 0x80 : extra === 2 ? 0x800 : 0x10000;
    if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
      throw new DataError("text", "not UTF-8");
    }
    text += String.fromCodePoint(point);
  }
  return text;
}
