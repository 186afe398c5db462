// SPDX-License-Identifier: MIT
/**
 * FAT writes a long name as several directory entries. When a power cut tears them, the file appears under its short
 * alias ("a1b2c3~1"): only a file whose creation no ended flush had covered.
 */
export function isAlias(entry: { name: string; isDirectory: boolean }): boolean {
  return !entry.isDirectory && entry.name.length <= 12 && entry.name.includes("~");
}
