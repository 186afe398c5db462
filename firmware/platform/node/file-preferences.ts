// SPDX-License-Identifier: MIT
/** The preferences port over one JSON file, replaced whole and durable by a rename. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Preferences } from "../../core/io";

const KEY = /^[a-z0-9]{1,15}$/;
const MAX_VALUE_BYTES = 1024;

export class FilePreferences implements Preferences {
  readonly #path: string;
  readonly #values: Map<string, string>;

  constructor(options: { path: string }) {
    this.#path = options.path;
    this.#values = read(options.path);
  }

  get(key: string): Uint8Array | undefined {
    const value = this.#values.get(key);
    return value === undefined ? undefined : new Uint8Array(Buffer.from(value, "base64"));
  }

  set(key: string, value: Uint8Array): void {
    if (!KEY.test(key)) throw new RangeError(`key: expected 1..15 characters of [a-z0-9], got ${key}`);
    if (value.length > MAX_VALUE_BYTES)
      throw new RangeError(`value: expected at most ${String(MAX_VALUE_BYTES)} bytes`);
    this.#values.set(key, Buffer.from(value).toString("base64"));
    const next = `${this.#path}.new`;
    writeFileSync(next, `${JSON.stringify(Object.fromEntries(this.#values), undefined, 2)}\n`, {
      mode: 0o600,
      flush: true,
    });
    renameSync(next, this.#path);
    const folder = openSync(dirname(this.#path), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }
}

/** A file that is not there, or not whole, is an empty one: nothing in it is needed to serve. */
function read(path: string): Map<string, string> {
  const values = new Map<string, string>();
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof parsed === "object" && parsed !== null) {
      for (const [key, value] of Object.entries(parsed))
        if (typeof value === "string") values.set(key, value);
    }
  } catch {
    return new Map();
  }
  return values;
}
