// SPDX-License-Identifier: MIT
/** The counters of an idle or failure frame (`boardReadCounters` in `host/xs-board-memory.c`, same order). */

const COUNTER_NAMES = [
  "slotBytes",
  "slots",
  "slotsPeak",
  "slotsLimit",
  "chunkBytes",
  "chunkBytesPeak",
  "chunkBytesLimit",
  "stackSlots",
  "stackSlotsPeak",
  "stackSlotsLimit",
  "keys",
  "keysLimit",
  "aliases",
  "blockBytes",
  "blockBytesLimit",
  "collections",
  "instructions",
] as const;

/**
 * Slots and chunks count garbage that has not been collected yet: ask `XsMachine.collectGarbage` for what is live.
 * `aliases`: objects of preloaded modules that are not frozen; each costs a device a pointer. `instructions`
 * includes one per source line, which a release build of the device does not have.
 */
export type XsCounters = Record<(typeof COUNTER_NAMES)[number], number>;

export const COUNTERS_BYTES = COUNTER_NAMES.length * 8;

export function readCounters(bytes: Uint8Array): XsCounters {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Object.fromEntries(
    COUNTER_NAMES.map((name, index) => [name, view.getFloat64(index * 8, true)]),
  ) as XsCounters;
}
