// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import scan from "jsqr";
import { qrCode } from "./qr-code";

const MODULE_PIXELS = 4;

/** What a camera sees: each character is one module wide and two high. */
function photograph(
  text: string,
  inkIsDark: boolean,
): { pixels: Uint8ClampedArray; width: number; height: number } {
  const lines = text.split("\n");
  const width = (lines[0]?.length ?? 0) * MODULE_PIXELS;
  const height = lines.length * 2 * MODULE_PIXELS;
  const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const character = lines[Math.floor(y / MODULE_PIXELS / 2)]?.[Math.floor(x / MODULE_PIXELS)] ?? " ";
      const isUpper = Math.floor(y / MODULE_PIXELS) % 2 === 0;
      const isInk = character === "█" || character === (isUpper ? "▀" : "▄");
      pixels.fill(isInk === inkIsDark ? 0 : 255, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  return { pixels, width, height };
}

describe("QR codes", () => {
  const codes = ["CFR1-" + "7K3QX-".repeat(7) + "7K3QX", "0123456789ABCDEFGHJKMNPQRSTVWXYZ-".repeat(3)];
  for (const [surface, inkIsDark] of [
    ["screen", false],
    ["paper", true],
  ] as const)
    it(`are read from ${surface} as what they say`, () => {
      for (const code of codes) {
        const { pixels, width, height } = photograph(qrCode(code, surface), inkIsDark);
        const found = scan(pixels, width, height, { inversionAttempts: "dontInvert" });
        assert.equal(found?.data, code);
      }
    });

  it("fit a small terminal", () => {
    for (const line of qrCode(codes[1] ?? "", "screen").split("\n")) assert.ok(line.length <= 60);
  });
});
