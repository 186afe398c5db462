// SPDX-License-Identifier: MIT
/** The power went in the middle of an operation. The firmware is dead: whatever it does after this does not count. */
export class PowerCut extends Error {
  override readonly name = "PowerCut";
}
