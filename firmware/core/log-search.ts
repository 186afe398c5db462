// SPDX-License-Identifier: MIT
/** Finding entries over the headers of a log's segments: some ten files opened for a log of a thousand segments. */
import { StorageError } from "./io";
import type { Storage, StorageFile } from "./io";
import type { LogState } from "./log-recovery";
import { readSegmentHeader, segmentPath } from "./log-segment";

/** The sequence of a segment's first entry; undefined when the segment is not there or its header does not read. */
export function firstSequence(storage: Storage, log: Uint8Array, segment: number): number | undefined {
  let file: StorageFile;
  try {
    file = storage.openFile(segmentPath(log, segment), "read");
  } catch (error) {
    if (error instanceof StorageError && error.code === "notFound") return undefined;
    throw error;
  }
  try {
    return readSegmentHeader(file, log)?.firstSequence;
  } finally {
    file.close();
  }
}

/**
 * The last segment whose first entry is not after `sequence`, by bisection over the headers; where one cannot be read, one
 * after the other from the end, so that what lies behind damage can still be reached. The first segment when there is none.
 */
export function findSegment(storage: Storage, state: LogState, sequence: number): number {
  let low = state.firstSegment;
  let high = state.segment;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const first = firstSequence(storage, state.log, middle);
    if (first === undefined) {
      while (high > low && !((firstSequence(storage, state.log, high) ?? Infinity) <= sequence)) high--;
      return high;
    }
    if (first <= sequence) low = middle;
    else high = middle - 1;
  }
  return low;
}
