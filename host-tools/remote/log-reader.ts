// SPDX-License-Identifier: MIT
/**
 * Logs as a device tells them, checked: the hash chain of what was read has to lead to the head that the device
 * names in an authenticated answer, and a log never has fewer entries than were seen. SPEC.md "Logs".
 */

import { ByteReader } from "../../firmware/protocol/byte-reader";
import { DataError } from "../../firmware/protocol/data-error";
import { MAX_ENTRY_BYTES } from "../../firmware/protocol/limits";
import { NO_ENTRY, entryHash } from "../../firmware/protocol/log-chain";
import type { LogHead } from "../../firmware/protocol/verbs";
import { Refusal } from "../refusal";
import { nodeCrypto } from "./node-crypto";

/** One answer: entries from the position that was asked for, and the whole log's head at that moment. */
export interface LogPage extends LogHead {
  entries: Uint8Array[];
}

/** All logs together that one read may hold in memory. */
const MAX_READ_BYTES = 256 * 1024 * 1024;

export function tampered(device: string, what: string): Refusal {
  return new Refusal("logTampered", `a log on ${device} is not what it was: ${what}`, {
    hint: "The device was reset, its card swapped, or somebody tampers with it: compare with your other devices.",
  });
}

/** The entries in the bulk of an answer: for each two bytes of length, then its bytes. Views. */
export function parseEntries(bulk: Uint8Array, count: number): Uint8Array[] {
  const reader = new ByteReader(bulk);
  const entries: Uint8Array[] = [];
  while (reader.remaining > 0) {
    const length = reader.u16();
    if (length > MAX_ENTRY_BYTES) throw new DataError("range", "log entry above the limit");
    entries.push(reader.take(length));
  }
  if (entries.length !== count) throw new DataError("range", "other number of log entries than announced");
  return entries;
}

/** The heads that this client has verified: the newest of each log. */
export class LogMemory {
  readonly #device: string;
  readonly #heads = new Map<string, LogHead>();

  constructor(device: string) {
    this.#device = device;
  }

  get(log: Uint8Array): LogHead | undefined {
    return this.#heads.get(keyOf(log));
  }

  /**
   * Takes what the device says now; `before` is what was known when it was asked, because answers can overtake one
   * another on different channels. Refusal "logTampered" when the log went back or forked since.
   */
  note(log: Uint8Array, now: LogHead, before: LogHead | undefined): void {
    if (before && now.count < before.count) {
      throw tampered(this.#device, `it had ${String(before.count)} entries and has ${String(now.count)}`);
    }
    if (before?.count === now.count && !isSame(before.head, now.head))
      throw tampered(this.#device, "its last entry was replaced");
    if (now.count === 0 && !isSame(now.head, NO_ENTRY))
      throw tampered(this.#device, "it is empty and has a last entry");
    if (now.count >= (this.get(log)?.count ?? 0))
      this.#heads.set(keyOf(log), { count: now.count, head: now.head.slice() });
  }
}

/**
 * Reads from `from`, whose entry before has the hash `previous`, to the head, page by page, and verifies the chain.
 * Throws a Refusal "logTampered" when it does not lead there.
 */
export async function readChain(
  device: string,
  from: number,
  previous: Uint8Array,
  readPage: (from: number) => Promise<LogPage>,
): Promise<LogPage> {
  const entries: Uint8Array[] = [];
  let hash = previous;
  let bytes = 0;
  for (;;) {
    const at = from + entries.length;
    const page = await readPage(at);
    if (page.count < at)
      throw tampered(device, `it has ${String(page.count)} entries, and ${String(at)} were seen`);
    for (const entry of page.entries) {
      hash = entryHash(nodeCrypto, hash, entry);
      entries.push(entry);
      bytes += entry.length;
    }
    const end = from + entries.length;
    if (end === page.count) {
      if (!isSame(hash, page.head)) throw tampered(device, "its entries do not lead to its head");
      return { count: page.count, head: page.head, entries };
    }
    if (end > page.count || page.entries.length === 0)
      throw tampered(device, "entries are missing in the middle");
    if (bytes > MAX_READ_BYTES) throw tampered(device, "it does not end");
  }
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function keyOf(log: Uint8Array): string {
  return Buffer.from(log).toString("hex");
}
