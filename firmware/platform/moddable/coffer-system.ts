// SPDX-License-Identifier: MIT
/** The natives of coffer-system.c. */

export function monotonicMs(this: unknown): number {
  return native("xs_coffer_system_monotonicMs").call(this) as number;
}

export function unixMs(this: unknown): number {
  return native("xs_coffer_system_unixMs").call(this) as number;
}

export function fillRandom(this: unknown, into: Uint8Array): void {
  native("xs_coffer_system_random").call(this, into);
}

/** Places in what `readMemory` gives. Chunks in bytes, slots in slots. */
export const MemoryCounter = {
  slotBytes: 0,
  slots: 1,
  slotsPeak: 2,
  slotsLimit: 3,
  chunks: 4,
  chunksPeak: 5,
  chunksLimit: 6,
} as const;
export const MEMORY_COUNTERS = 7;

/** Into so many doubles. */
export function readMemory(this: unknown, into: ArrayBuffer): void {
  native("xs_coffer_system_memory").call(this, into);
}

/** Free now, and at the worst moment since the start, as doubles; zeros on a host. */
export function readFreeMemory(this: unknown, into: ArrayBuffer): void {
  native("xs_coffer_system_freeMemory").call(this, into);
}

export function resetReason(this: unknown): number {
  return native("xs_coffer_system_resetReason").call(this) as number;
}

export function restart(this: unknown): void {
  native("xs_coffer_system_restart").call(this);
}

/** Resets an ESP32 unless it comes again within so many milliseconds; on a host it watches nothing. */
export function feedWatchdog(this: unknown, withinMs: number): void {
  native("xs_coffer_system_feedWatchdog").call(this, withinMs);
}
