// SPDX-License-Identifier: MIT
/**
 * Rebuilding the table of log heads at boot, from the last segment of every log. A last segment in which no record is
 * whole was never confirmed: it is removed before any room is given out, like an unconfirmed blob.
 */
import { LOG_RECORDS_OFFSET } from "../protocol/card-format";
import { HASH_BYTES } from "../protocol/limits";
import type { DeviceLimits } from "./device-config";
import { NO_ENTRY } from "../protocol/log-chain";
import { isEqual } from "../protocol/session";
import { FailureCode } from "../protocol/verbs";
import type { LogHead } from "../protocol/verbs";
import { isAlias } from "./fat-alias";
import { fromHex } from "./hex";
import type { Crypto, Log, Storage, StorageFile } from "./io";
import { hasRecord, isSkip, readSegmentHeader, segmentPath, walkSegment } from "./log-segment";
import { Refusal } from "./refusal";
import { LOGS_FOLDER } from "./store-parts";
import type { UploadTable } from "./upload-table";

/** RAM: about 200 bytes on a board. */
export interface LogState {
  readonly log: Uint8Array;
  /** Entries; the next one's sequence. */
  count: number;
  head: Uint8Array;
  /** Number of the first segment; those below it were trimmed or given up. */
  firstSegment: number;
  /** The lowest that may still be on the card: those from it up to the first are given up and have to go. */
  lowestSegment: number;
  /** Number of the last segment; -1 while the log has none. */
  segment: number;
  /** Its tag. */
  tag: Uint8Array;
  /** Where the next record goes in it. */
  offset: number;
  /**
   * What an attempt that failed may have left on the card, in whatever condition: a record behind the last ("tail"), or a
   * segment above the last ("next"). Never both: one is cleared away before the other comes about.
   */
  doubtful: "nothing" | "tail" | "next";
  /** The first entry known not to read as it was written. */
  damagedSequence: number | undefined;
}

export function newLogState(log: Uint8Array): LogState {
  const tag = new Uint8Array(16);
  return {
    log,
    count: 0,
    head: NO_ENTRY,
    firstSegment: 0,
    lowestSegment: 0,
    segment: -1,
    tag,
    offset: 0,
    doubtful: "nothing",
    damagedSequence: undefined,
  };
}

/** Throws Refusal "corrupt" for a log whose end cannot be told. */
export function headOf(state: LogState): LogHead {
  if (state.damagedSequence !== undefined) {
    throw new Refusal(
      FailureCode.corrupt,
      `entry ${String(state.damagedSequence)} of this log does not read as it was written`,
    );
  }
  return { count: state.count, head: state.head };
}

interface LogParts {
  storage: Storage;
  crypto: Crypto;
  log: Log;
  limits: DeviceLimits;
  table: UploadTable;
}

/**
 * Every log on the card with its first and last segment, at most `maxLogs`, as if a removal that was begun were done; and
 * names that no log has, such as the short alias under which FAT shows a file whose long name was torn: a segment that
 * was never confirmed.
 */
export function findLogs(parts: LogParts): { states: LogState[]; aliases: string[] } {
  const { maxLogs } = parts.limits;
  const { trim } = parts.table;
  const states = new Map<string, LogState>();
  const aliases: string[] = [];
  const scan = parts.storage.scan(LOGS_FOLDER);
  try {
    for (let entry = scan.next(); entry; entry = scan.next()) {
      const [name = "", suffix = ""] = entry.name.split("-");
      const log = fromHex(name, HASH_BYTES);
      const bytes = fromHex(suffix, 4);
      if (!log || !bytes) {
        if (isAlias(entry)) aliases.push(`${LOGS_FOLDER}/${entry.name}`);
        continue;
      }
      const segment = parseInt(suffix, 16);
      if (segment === trim?.segment && isEqual(log, trim.log)) continue;
      const state = states.get(name) ?? newLogState(log);
      if (!states.has(name) && states.size === maxLogs) {
        parts.log.write(
          "warn",
          `store: more than ${String(maxLogs)} logs on the card; ${name.slice(0, 12)} is left out`,
        );
        continue;
      }
      states.set(name, state);
      state.firstSegment = state.segment < 0 ? segment : Math.min(state.firstSegment, segment);
      state.lowestSegment = state.firstSegment;
      state.segment = Math.max(state.segment, segment);
    }
  } finally {
    scan.close();
  }
  return { states: [...states.values()], aliases };
}

/**
 * Fills in `state` from its last segment. Returns the path of the one above it that was never confirmed, which the caller
 * removes before it gives out room. There is one at most: a segment is made above one that holds acknowledged entries.
 */
export function recoverLog(parts: LogParts, state: LogState): string | undefined {
  if (readLastSegment(parts, state)) return undefined;
  if (state.firstSegment > 0 && state.segment === state.firstSegment) {
    // Trimming leaves a confirmed segment: this one was whole when those below it went.
    state.damagedSequence = state.count;
    return undefined;
  }
  const unconfirmed = segmentPath(state.log, state.segment);
  state.segment--;
  if (state.segment >= 0 && !readLastSegment(parts, state)) state.damagedSequence = 0;
  return unconfirmed;
}

/** False when no record of the segment is whole. */
function readLastSegment(parts: LogParts, state: LogState): boolean {
  const file = parts.storage.openFile(segmentPath(state.log, state.segment), "read");
  try {
    return readSegment(parts, state, file);
  } finally {
    file.close();
  }
}

function readSegment(parts: LogParts, state: LogState, file: StorageFile): boolean {
  const header = readSegmentHeader(file, state.log);
  if (!header) {
    if (!hasRecord(file, LOG_RECORDS_OFFSET, () => true)) return false;
    // Records are only written behind a header that was flushed: this one has gone bad since.
    state.damagedSequence = 0;
    return true;
  }
  const walked = walkSegment(file, parts.crypto, header);
  state.damagedSequence = walked.damagedSequence;
  state.count = walked.end.sequence;
  state.head = walked.end.previous;
  state.tag = header.segment;
  state.offset = walked.end.offset;
  if (walked.end.sequence === header.firstSequence && walked.damagedSequence === undefined) return false;
  if (isSkip(file)) state.firstSegment = state.segment;
  return true;
}
