// SPDX-License-Identifier: MIT
/**
 * The lines typed at the prompt, kept in the state folder for the next session: owner-only, at most `limit` of them,
 * newest last. A line that starts with a blank is not kept, as in other shells. Passphrases never get here: they are
 * read before the prompt exists, not through it.
 */

import { join } from "node:path";
import { readIfPresent, writePrivateFile } from "../private-files";

export const historyLimit = 1000;
const maxLineLength = 4096;

export function historyPath(home: string): string {
  return join(home, "shell-history");
}

/** Newest first, as node:readline wants it. Nothing when there is no history, or when it cannot be read. */
export async function loadHistory(home: string): Promise<string[]> {
  const text = await readIfPresent(historyPath(home)).catch(() => undefined);
  return (text ?? "").split("\n").filter(isKept).slice(-historyLimit).reverse();
}

/** `lines` newest first, as node:readline gives them. */
export async function saveHistory(home: string, lines: readonly string[]): Promise<void> {
  const kept = lines.filter(isKept).slice(0, historyLimit).reverse();
  await writePrivateFile(historyPath(home), kept.map((line) => `${line}\n`).join(""));
}

export function isKept(line: string): boolean {
  return line !== "" && !/^\s/.test(line) && line.length <= maxLineLength;
}
