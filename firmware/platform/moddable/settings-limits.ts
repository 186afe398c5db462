// SPDX-License-Identifier: MIT
/** What the port says of a setting (firmware/core/io.ts, `Preferences`). */

import { LOWER_AND_DIGITS, isMadeOf } from "./plain-names";

const MAX_KEY = 15;
export const MAX_SETTING_BYTES = 1024;

/** Throws RangeError. */
export function checkSetting(key: string, value?: Uint8Array): void {
  if (!isMadeOf(key, LOWER_AND_DIGITS, MAX_KEY))
    throw new RangeError(`preference: expected 1..15 characters of [a-z0-9], got "${key}"`);
  if (value && value.length > MAX_SETTING_BYTES) {
    throw new RangeError(
      `preference ${key}: expected at most ${MAX_SETTING_BYTES} bytes, got ${value.length}`,
    );
  }
}
