// SPDX-License-Identifier: MIT
/**
 * The order of all entries of all logs. An entry comes after everything that its writer had seen; between entries that
 * had not seen each other the writers' ids decide, on every computer alike.
 */

import type { EntryBody } from "./log-entry";

export type EntryOrder = Pick<EntryBody, "lamport" | "writer" | "sequence">;

export function compareOrder(a: EntryOrder, b: EntryOrder): number {
  return a.lamport - b.lamport || Buffer.compare(a.writer, b.writer) || a.sequence - b.sequence;
}
