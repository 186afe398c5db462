// SPDX-License-Identifier: MIT
/** Any text as a line that may be kept and told: printable, short, and without anything as long as a secret. */
import { MAX_LINE_BYTES } from "../protocol/limits";
import { fitText } from "../protocol/message";

/**
 * Letters and digits in an unbroken row: a secret of 32 bytes takes 64 in hex, a key in base64 lines of 64 that hold a few
 * "/". Nothing that is logged on purpose is as long, but an error may quote what it stumbled over. Ids are cut with them.
 */
const LONGEST_WORD = 24;
const KEPT_OF_WORD = 8;

/** At most MAX_LINE_BYTES of UTF-8. */
export function logText(message: string): string {
  let text = "";
  let from = 0;
  let wordAt = 0;
  // Half a word is as good as a whole one: what the line cuts off is looked at, too.
  const end = Math.min(message.length, 4 * MAX_LINE_BYTES);
  for (let at = 0; at <= end; at++) {
    if (at < end && isOfWord(message.charCodeAt(at))) continue;
    if (at - wordAt > LONGEST_WORD) {
      text += `${message.slice(from, wordAt + KEPT_OF_WORD)}...`;
      from = at;
    }
    wordAt = at + 1;
  }
  text += message.slice(from, end);
  return isPlain(text) ? text.slice(0, MAX_LINE_BYTES) : fitText(text, MAX_LINE_BYTES);
}

/** Not what parts a path or an identifier: those are long, and no secret. */
function isOfWord(code: number): boolean {
  const letter = code | 0x20;
  return (letter >= 0x61 && letter <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2b;
}

/** `fitText` makes an array for each character: most lines do not need it. */
function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}
