// SPDX-License-Identifier: MIT
/**
 * Which Wi-Fi: what the image was built with (`mcconfig ... ssid=NAME password=SECRET`), and that is kept; else what was
 * kept, so that an image which knows of no Wi-Fi, as one for many boards, comes back to it.
 */
import type { Preferences } from "../../../core/io";
import type { WifiCredentials } from "./wifi-keeper";

const SSID_KEY = "wifissid";
const PASSWORD_KEY = "wifipassword";

/** Undefined when there are none. */
export function wifiCredentials(
  built: { ssid?: string; password?: string },
  preferences: Preferences,
): WifiCredentials | undefined {
  const kept = { ssid: textOf(preferences, SSID_KEY), password: textOf(preferences, PASSWORD_KEY) };
  if (built.ssid === undefined || built.ssid === "") {
    return kept.ssid === "" ? undefined : credentials(kept.ssid, kept.password);
  }
  const password = built.password ?? "";
  // Flash wears: only what is new is written.
  if (kept.ssid !== built.ssid) keep(preferences, SSID_KEY, built.ssid);
  if (kept.password !== password) keep(preferences, PASSWORD_KEY, password);
  return credentials(built.ssid, password);
}

function credentials(ssid: string, password: string): WifiCredentials {
  return password === "" ? { ssid } : { ssid, password };
}

function textOf(preferences: Preferences, key: string): string {
  const bytes = preferences.get(key) ?? new Uint8Array(0);
  return String.fromArrayBuffer(bytes.slice().buffer);
}

function keep(preferences: Preferences, key: string, text: string): void {
  try {
    preferences.set(key, new Uint8Array(ArrayBuffer.fromString(text)));
  } catch {
    // The next start tries again; this one has them.
  }
}
