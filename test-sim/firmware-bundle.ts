// SPDX-License-Identifier: MIT
/**
 * Makes one ES module of a firmware entry for the XS board. The engine's parser knows source maps of one file only, so
 * the map is turned into its `//@line N "file"` remarks: errors and breakpoints then name the .ts line.
 */
import { build } from "esbuild";
import { dirname, relative, resolve } from "node:path";

import { projectRoot } from "./project-root";

export interface BundleOptions {
  /** Values for names that the entry declares, e.g. the version. */
  define?: Record<string, string>;
  /** File names as a debugger needs them; else relative to the project, for reading. */
  absoluteNames?: boolean;
}

/** `entry`: path of a .ts file. The module it gives has the entry's default export. */
export async function bundleFirmware(entry: string, options: BundleOptions = {}): Promise<string> {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2022", // what both XS 13.3 and the device's engine run
    supported: { "template-literal": false }, // no literal spans lines: a remark never lands inside one
    sourcemap: "external",
    sourcesContent: false,
    outdir: dirname(resolve(entry)), // source names in the map are relative to it
    write: false,
    logLevel: "silent",
    ...(options.define ? { define: options.define } : {}),
  });
  const code = result.outputFiles.find((file) => file.path.endsWith(".js"))?.text ?? "";
  const map = result.outputFiles.find((file) => file.path.endsWith(".map"))?.text ?? "{}";
  const { mappings, sources } = JSON.parse(map) as { mappings: string; sources: string[] };
  const names = sources.map((source) => {
    const path = resolve(dirname(resolve(entry)), source);
    return options.absoluteNames === true ? path : relative(projectRoot(), path);
  });
  return withLineRemarks(code, mappings, names);
}

/** `names`: of the map's sources. No literal of `code` may span lines. */
export function withLineRemarks(code: string, mappings: string, names: string[]): string {
  const origins = firstOrigins(mappings);
  const out: string[] = [];
  let source = -1;
  let nextLine = -1;
  code.split("\n").forEach((text, index) => {
    const origin = origins[index];
    if (origin !== undefined && (origin.source !== source || origin.line !== nextLine)) {
      out.push(`//@line ${String(origin.line + 1)} "${names[origin.source] ?? "?"}"`);
      source = origin.source;
      nextLine = origin.line;
    }
    out.push(text);
    nextLine++;
  });
  return out.join("\n");
}

interface Origin {
  source: number;
  line: number;
}

/** For each generated line its first mapping (source map v3: base64 VLQ fields, relative to the one before). */
function firstOrigins(mappings: string): (Origin | undefined)[] {
  let source = 0;
  let line = 0;
  return mappings.split(";").map((segments) => {
    let first: Origin | undefined;
    for (const segment of segments.split(",")) {
      const [, sourceDelta, lineDelta = 0] = decodeVlq(segment);
      if (sourceDelta === undefined) continue;
      source += sourceDelta;
      line += lineDelta;
      first ??= { source, line };
    }
    return first;
  });
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function decodeVlq(segment: string): number[] {
  const values: number[] = [];
  let value = 0;
  let shift = 0;
  for (const character of segment) {
    const digit = BASE64.indexOf(character);
    value |= (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    values.push(value & 1 ? -(value >> 1) : value >> 1);
    value = 0;
    shift = 0;
  }
  return values;
}
