// SPDX-License-Identifier: MIT
/**
 * Which entries count after a writer was revoked: those that whoever revoked it had seen. A function of the entries, as
 * the state is. docs/repository.md "Revoked writers".
 */

import { type EntryBody, type SeenHead } from "./log-entry";
import { compareOrder } from "./entry-order";
import type { WriterLog } from "./writer-log";

/** Sets how much counts of each log. An entry that does not count itself revokes nobody. */
export function applyRevocations(logs: ReadonlyMap<string, WriterLog>): void {
  const revoking: { body: EntryBody; revoked: SeenHead[] }[] = [];
  for (const log of logs.values()) {
    log.limit = log.coveredLimit;
    for (const body of log.bodies) if (body.revoked) revoking.push({ body, revoked: body.revoked });
  }
  const byWriter = (writer: Uint8Array): WriterLog | undefined =>
    logs.get(Buffer.from(writer).toString("hex"));
  for (const { body, revoked } of revoking.sort((a, b) => compareOrder(a.body, b.body))) {
    if (body.sequence >= (byWriter(body.writer)?.limit ?? Infinity)) continue;
    for (const { writer, count } of revoked) {
      const log = byWriter(writer);
      if (log) log.limit = Math.min(log.limit ?? count, count);
    }
  }
}
