// SPDX-License-Identifier: MIT
/** Text that is the same in every run and compresses about as English does. */

import { noise } from "./scratch";

const WORDS = 4096;

export function prose(seed: number, length: number): Buffer {
  const letters = noise(seed, WORDS * 8);
  const words = Array.from({ length: WORDS }, (_, i) =>
    Array.from(letters.subarray(i * 8, i * 8 + 2 + ((letters[i * 8] ?? 0) % 6)), (byte) =>
      String.fromCharCode(97 + (byte % 26)),
    ).join(""),
  );
  const text: string[] = [];
  const choices = noise(seed + 1, length);
  for (let at = 0, written = 0; written < length; at += 2) {
    // Equal chances for equal ratios of ranks, as in a language.
    const rank = Math.floor(WORDS ** (choices.readUInt16LE(at % (length - 1)) / 65536)) - 1;
    const word = words[rank] ?? "";
    text.push(word);
    written += word.length + 1;
  }
  return Buffer.from(text.join(" ").padEnd(length).slice(0, length), "latin1");
}
