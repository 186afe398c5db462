// SPDX-License-Identifier: MIT
/**
 * Names of plain characters, tested by hand: a regular expression at the top of a preloaded module crashes the engine now
 * and then (SDK 8.2.3, fx_RegExp_prototype_exec).
 */
export const LOWER_AND_DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789";

export function isMadeOf(text: string, characters: string, most: number): boolean {
  if (text.length < 1 || text.length > most) return false;
  for (const character of text) if (!characters.includes(character)) return false;
  return true;
}

/** Four numbers and dots; which numbers, the socket judges. */
export function isNumericAddress(host: string): boolean {
  const parts = host.split(".");
  return parts.length === 4 && parts.every((part) => isMadeOf(part, "0123456789", 3));
}
