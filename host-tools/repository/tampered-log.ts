// SPDX-License-Identifier: MIT
import { Refusal } from "../refusal";

/** A log that a device shows is not what it was, or was never so: `message` says which device, which log and what. */
export function tamperedLog(message: string, cause?: unknown): Refusal {
  return new Refusal("logTampered", message, {
    hint: "Somebody changed the device, or its card was replaced or put back to an older copy. Other devices and this computer still have the entries.",
    ...(cause === undefined ? {} : { cause }),
  });
}
