// SPDX-License-Identifier: MIT
/**
 * What of the manifest's `config` is about the board. Every value may come from the command line of mcconfig as well, where
 * it is text: `mcconfig ... sdWidth=4`.
 */
import type { CardBus } from "./card-driver";

const PINS = 6;
const MAX_PIN = 48;

/** Throws RangeError: a wrong build, to be told at once. */
export function cardBusOf(config: Readonly<Record<string, unknown>>): CardBus {
  const width = Number(config.sdWidth ?? 1);
  if (width !== 1 && width !== 4)
    throw new RangeError(`sdWidth: expected 1 or 4, got ${String(config.sdWidth)}`);
  const clockKhz = Number(config.sdClockKhz ?? 20_000);
  if (!(Number.isInteger(clockKhz) && clockKhz >= 400 && clockKhz <= 40_000))
    throw new RangeError(`sdClockKhz: expected 400..40000, got ${String(config.sdClockKhz)}`);
  const pins = String(config.sdPins ?? "14,15,2,4,12,13")
    .split(",")
    .map((pin) => Number(pin));
  if (pins.length !== PINS || pins.some((pin) => !(Number.isInteger(pin) && pin >= -1 && pin <= MAX_PIN)))
    throw new RangeError(`sdPins: expected clk,cmd,d0,d1,d2,d3, got ${String(config.sdPins)}`);
  return { width, clockKhz, pins };
}

/** The text of `name`, undefined when it is not there or empty. */
export function textOf(config: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = config[name];
  return value === undefined || value === null || String(value) === "" ? undefined : String(value);
}
