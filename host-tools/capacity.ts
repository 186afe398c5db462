// SPDX-License-Identifier: MIT
/** `--capacity SIZE`: how much of a disk a device may use. */

import { Refusal } from "./refusal";

export const capacityOption = {
  type: "string",
  requiresArg: true,
  describe: "How much its files may take, for example 500G (default: all that is free on the disk)",
} as const;

const units = ["", "K", "M", "G", "T"];
/** The device calls its card full when less than 256 KiB are free. */
const leastBytes = 1024 * 1024;

/** "500G", "1.5 TiB", "750MB": bytes. A unit is 1024 of the one below. */
export function capacityBytes(text: string): number {
  const [, number = "", unit = ""] = /^(\d{1,15}(?:\.\d+)?) ?([KMGT]?)(?:i?B)?$/i.exec(text.trim()) ?? [];
  const bytes = Math.floor(Number(number) * 1024 ** units.indexOf(unit.toUpperCase()));
  if (number !== "" && bytes >= leastBytes && Number.isSafeInteger(bytes)) return bytes;
  throw new Refusal("usage", `--capacity takes a size of at least 1M, not ${JSON.stringify(text)}`, {
    hint: "Write a number and a unit: 500M, 100G, 1.5T.",
  });
}
