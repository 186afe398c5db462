// SPDX-License-Identifier: MIT
/**
 * Puts the words of a command line into an order that yargs reads as a person means it:
 *
 *   push --device cam1 cam2 photos   an option of several values would take the path, too
 *   repair --read-data photos        an option that takes a value only behind "=" would take it, too
 *   rm -- -odd-name                  yargs does not give a command what stands behind "--"
 */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { resolveHome } from "./state";

/** Options of file commands that take one word. */
const oneWordOptions: ReadonlySet<string> = new Set([
  "--to",
  "--overwrite",
  "--home",
  "--passphrase-file",
  "--at",
  "--limit",
  "--keep-last",
  "--keep-daily",
  "--keep-weekly",
  "--keep-monthly",
  "--keep-yearly",
  "--keep-tag",
  "--keyfile",
  "--new-passphrase-file",
  "--new-keyfile",
  "--label",
  "--max-unused",
  "--hold",
]);

/**
 * Words behind "--" become ordinary ones, with "./" before a dash: they are paths, local or remote. Words behind
 * `--device` are devices; only where no path stands before it, those that are not paired are taken for paths.
 */
export function arrangeWords(words: readonly string[], pairedDevices = readPairedDevices): string[] {
  const end = words.indexOf("--");
  const head = end < 0 ? words : words.slice(0, end);
  const tail = end < 0 ? [] : words.slice(end + 1).map((word) => (word.startsWith("-") ? `./${word}` : word));
  const others: string[] = [];
  const devices: string[] = [];
  for (let index = 0; index < head.length; index += 1) {
    const word = head[index] ?? "";
    if (word.startsWith("--device=")) devices.push(word.slice("--device=".length));
    else if (word === "--read-data") others.push("--read-data=100");
    else if (word !== "--device") others.push(word);
    else {
      const values = valuesFrom(head, index + 1);
      if (values.length === 0) return [...words]; // yargs says what is missing
      const hasPath = tail.length > 0 || countWords(others) > 1;
      const paired = hasPath || values.length < 2 ? undefined : new Set(pairedDevices(head));
      values.forEach((value, position) => {
        const isDevice =
          position === 0 || paired === undefined || value.split(",").every((name) => paired.has(name));
        (isDevice ? devices : others).push(value);
      });
      index += values.length;
    }
  }
  return [...others, ...tail, ...(devices.length > 0 ? ["--device", ...devices] : [])];
}

/** The words from `start` up to the next option. */
function valuesFrom(words: readonly string[], start: number): string[] {
  const next = words.findIndex((word, index) => index >= start && word.startsWith("-"));
  return words.slice(start, next < 0 ? undefined : next);
}

/** Words that are neither options nor their values: the command and its paths. */
function countWords(words: readonly string[]): number {
  return words.filter((word, index) => !word.startsWith("-") && !oneWordOptions.has(words[index - 1] ?? ""))
    .length;
}

function readPairedDevices(words: readonly string[]): string[] {
  const at = words.indexOf("--home");
  const joined = words.find((word) => word.startsWith("--home="))?.slice("--home=".length);
  try {
    const files = readdirSync(join(resolveHome(at < 0 ? joined : words[at + 1]), "devices"));
    return files.filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -".json".length));
  } catch {
    return []; // the command itself will say what is wrong there
  }
}
