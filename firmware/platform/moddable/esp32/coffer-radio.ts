// SPDX-License-Identifier: MIT
/** The native of coffer-radio.c. False when Wi-Fi has not started. */
export function setPowerSave(this: unknown, isSaving: boolean): boolean {
  return native("xs_coffer_radio_setPowerSave").call(this, isSaving) as boolean;
}
