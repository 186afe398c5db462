// SPDX-License-Identifier: MIT
/** Text that compresses as English does: words of a made-up vocabulary, the frequent ones short and often. */
import { closeSync, openSync, writeSync } from "node:fs";

const VOCABULARY = 20_000;
const LINE_CHARACTERS = 90;

/** The same bytes for the same `seed`. */
export function writeText(path: string, bytes: number, seed = 1): void {
  const random = xorshift(seed);
  const words = Array.from({ length: VOCABULARY }, (_, rank) => {
    const length = 2 + Math.floor(Math.log2(rank + 2) / 2 + random() * 5);
    return Array.from({ length }, () => "etaoinshrdlucmfwypvbgkqjxz"[Math.floor(26 * random() ** 2)]).join(
      "",
    );
  });
  const file = openSync(path, "w");
  let line = "";
  let block: string[] = [];
  let pending = 0;
  for (let written = 0; written < bytes;) {
    // rank by Zipf's law: equal chances for equal ratios of ranks
    line += `${words[Math.floor(VOCABULARY ** random()) - 1] ?? ""} `;
    if (line.length < LINE_CHARACTERS) continue;
    block.push(line);
    pending += line.length + 1;
    line = "";
    if (pending < 1024 * 1024 && written + pending < bytes) continue;
    written += writeSync(file, Buffer.from(`${block.join("\n")}\n`).subarray(0, bytes - written));
    [block, pending] = [[], 0];
  }
  closeSync(file);
}

/** Numbers in [0, 1): Marsaglia, Xorshift RNGs, 2003. */
function xorshift(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
