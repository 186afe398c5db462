// SPDX-License-Identifier: MIT
/**
 * A QR code as text, two modules in one character: what a person would type can be scanned with a phone and sent on.
 * For a screen the light modules are drawn, as terminals are mostly dark; for paper the dark ones.
 */

import { encode } from "uqr";

const blocks = [" ", "▄", "▀", "█"] as const;

export function qrCode(text: string, surface: "screen" | "paper"): string {
  const { data } = encode(text, { ecc: "M", border: 4 });
  const isDrawn = (row: boolean[] | undefined, x: number): boolean =>
    row !== undefined && (row[x] === true) === (surface === "paper");
  const lines: string[] = [];
  for (let y = 0; y < data.length; y += 2) {
    const [upper, lower] = [data[y], data[y + 1]];
    lines.push(
      (upper ?? []).map((_, x) => blocks[(isDrawn(upper, x) ? 2 : 0) + (isDrawn(lower, x) ? 1 : 0)]).join(""),
    );
  }
  return lines.join("\n");
}
