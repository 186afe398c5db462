// SPDX-License-Identifier: MIT
/** The preferences port of a board: the SDK's `preference`, which is NVS on ESP32. */
import Preference from "preference";
import type { Preferences } from "../../../core/io";
import { checkSetting } from "../settings-limits";

const DOMAIN = "coffer";
/** NVS keeps no empty value: every value has this byte in front. */
const MARK = 1;

export class FlashPreferences implements Preferences {
  get(key: string): Uint8Array | undefined {
    checkSetting(key);
    const stored = Preference.get(DOMAIN, key);
    return stored instanceof ArrayBuffer ? new Uint8Array(stored).slice(1) : undefined;
  }

  set(key: string, value: Uint8Array): void {
    checkSetting(key, value);
    const stored = new Uint8Array(1 + value.length);
    stored[0] = MARK;
    stored.set(value, 1);
    Preference.set(DOMAIN, key, stored.buffer);
  }
}
