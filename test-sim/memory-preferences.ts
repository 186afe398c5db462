// SPDX-License-Identifier: MIT
import type { Preferences } from "../firmware/core/io";

const KEY = /^[a-z0-9]{1,15}$/; // what the NVS of ESP32 takes
const MAX_VALUE_BYTES = 1024;

/** The settings in a simulated board's own flash. They survive every power cut, and end with this object. */
export class MemoryPreferences implements Preferences {
  readonly #values = new Map<string, Uint8Array>();

  get(key: string): Uint8Array | undefined {
    check(key);
    return this.#values.get(key)?.slice();
  }

  set(key: string, value: Uint8Array): void {
    check(key);
    if (value.length > MAX_VALUE_BYTES)
      throw new RangeError(
        `preference ${key}: expected at most ${String(MAX_VALUE_BYTES)} bytes, got ${String(value.length)}`,
      );
    this.#values.set(key, value.slice());
  }
}

function check(key: string): void {
  if (!KEY.test(key)) throw new RangeError(`preference: expected 1..15 characters of [a-z0-9], got "${key}"`);
}
