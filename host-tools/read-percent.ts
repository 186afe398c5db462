// SPDX-License-Identifier: MIT
/** `--read-data[=PERCENT]`: how much of the packs is downloaded and opened. */

import { Refusal } from "./refusal";

export const readDataOption = {
  type: "string",
  describe: "Also download and open packs: all, or with =PERCENT a random part of them",
} as const;

/** 0 without the option; without a number it is 100 (word-order.ts). */
export function readPercent(value: string | undefined): number {
  if (value === undefined) return 0;
  const percent = /^\d{1,3}(\.\d+)?%?$/.test(value) ? Number.parseFloat(value) : Number.NaN;
  if (percent > 0 && percent <= 100) return percent;
  throw new Refusal(
    "usage",
    `--read-data takes a percentage above 0 and up to 100, not ${JSON.stringify(value)}`,
    {
      hint: "Write it with an equals sign, --read-data=10, or without a number to read everything.",
    },
  );
}
