// SPDX-License-Identifier: MIT
/** Making room on a full card, or in a full upload table, out of partial uploads that nobody is sending. */
import { removeBlob } from "./blob-removal";
import type { StoreParts } from "./store-parts";
import type { Slot } from "./upload-table";

/** Removes the oldest idle upload; `done` with its slot (free now), or with undefined when there was none. */
export function evictOldest(parts: StoreParts, done: (error: unknown, slot: Slot | undefined) => void): void {
  const slot = parts.table.oldestIdle();
  if (!slot) {
    done(undefined, undefined);
    return;
  }
  slot.state = "removing";
  parts.log.write("info", `store: dropping the partial upload ${slot.hexId.slice(0, 12)} to make room`);
  removeBlob(parts, slot.hexId, (error) => {
    if (error) slot.state = "idle";
    else parts.table.release(slot);
    done(error, error ? undefined : slot);
  });
}

/** Evicts, oldest first, until `bytes` are free or nothing is left to evict; `done` with how many went. */
export function makeRoom(
  parts: StoreParts,
  bytes: number,
  done: (error: unknown, evicted: number) => void,
): void {
  let evicted = 0;
  const next = (): void => {
    evictOldest(parts, (error, slot) => {
      if (slot) evicted++;
      if (error || !slot || freeBytes(parts) >= bytes) done(error, evicted);
      else next();
    });
  };
  next();
}

function freeBytes(parts: StoreParts): number {
  try {
    return parts.storage.space().freeBytes;
  } catch {
    return 0;
  }
}
