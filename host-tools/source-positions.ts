// SPDX-License-Identifier: MIT
/**
 * A stack trace in terms of the sources. Node can do that by itself, but then reads the map of every module that it
 * loads, which costs each command more than opening the repository's keys; a defect is worth reading them afterwards.
 */

import { readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A place in a module: its URL, line and column, both from 1. */
const place = /(file:\/\/[^\s()]+\.js):(\d+):(\d+)/g;

/** What has no map, or none that can be read, stays as it is. */
export function inSources(stack: string): string {
  const maps = new Map<string, SourceMap | undefined>();
  return stack.replace(place, (built: string, url: string, line: string, column: string) => {
    if (!maps.has(url)) maps.set(url, mapOf(url));
    const found = maps.get(url)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (found === undefined || !("originalSource" in found)) return built;
    const source = join(dirname(fileURLToPath(url)), found.originalSource);
    return `${source}:${String(found.originalLine + 1)}:${String(found.originalColumn + 1)}`;
  });
}

function mapOf(url: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, "utf8")) as SourceMapPayload);
  } catch {
    return undefined;
  }
}
