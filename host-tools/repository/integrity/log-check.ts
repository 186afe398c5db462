// SPDX-License-Identifier: MIT
/**
 * Verifies all logs again from the first entry, or from where the checkpoint takes over: this computer's copies with every signature, and what each device shows
 * against them, byte by byte. (What opening the repository does is enough to trust new entries; it does not look at old
 * ones again.)
 */

import { setImmediate as turn } from "node:timers/promises";
import { DataError } from "../../../firmware/protocol/data-error";
import { NO_ENTRY } from "../../../firmware/protocol/log-chain";
import { Refusal } from "../../refusal";
import type { BlobDevice } from "../blob-device";
import { openEntry } from "../log-entry";
import type { RepositoryParts } from "../repository-parts";
import type { WriterLog } from "../writer-log";
import type { LogDamage } from "./damage";

/** Entries verified without letting anything else have its turn: about ten milliseconds. */
const ENTRIES_AT_ONCE = 64;

export async function checkLogs(parts: RepositoryParts): Promise<LogDamage[]> {
  const damage: LogDamage[] = [];
  for (const log of parts.logs.logs.values()) damage.push(...(await checkCopy(parts, log)));
  for (const device of parts.options.devices) damage.push(...(await checkDevice(parts, device)));
  return damage;
}

async function checkCopy(parts: RepositoryParts, log: WriterLog): Promise<LogDamage[]> {
  // The first entry brings the key itself; behind a checkpoint it is the checkpoint's.
  let publicKey = log.first === 0 ? undefined : log.publicKey;
  for (let sequence = log.first; sequence < log.count; sequence++) {
    const sealed = log.sealedAt(sequence) ?? NO_ENTRY;
    if (sequence % ENTRIES_AT_ONCE === 0) await turn();
    parts.options.signal?.throwIfAborted();
    const previous = log.headAt(sequence) ?? NO_ENTRY;
    try {
      const body = openEntry(sealed, { keys: parts.keys, writer: log.writer, sequence, previous, publicKey });
      publicKey ??= body.publicKey;
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      const text = `entry ${String(sequence)} of the log of ${log.name} does not verify (${error.message})`;
      return [{ device: "", text }];
    }
  }
  return [];
}

async function checkDevice(parts: RepositoryParts, device: BlobDevice): Promise<LogDamage[]> {
  const damage: LogDamage[] = [];
  for (const { log: id } of await device.logList()) {
    const writer = parts.keys.writerOf(id);
    if (!writer) continue;
    parts.options.signal?.throwIfAborted();
    const log = parts.logs.log(Uint8Array.from(writer));
    const text = await whatDiffers(device, log);
    if (text !== undefined) damage.push({ device: device.name, text: `the log of ${log.name} ${text}` });
  }
  return damage;
}

async function whatDiffers(device: BlobDevice, log: WriterLog): Promise<string | undefined> {
  try {
    const { first } = log;
    const { entries } = await device.logRead(log.id, first, log.headAt(first) ?? NO_ENTRY);
    // More than are known here were appended since.
    for (const [i, entry] of entries.slice(0, log.count - first).entries())
      if (Buffer.compare(entry, log.sealedAt(first + i) ?? NO_ENTRY) !== 0)
        return `is damaged: entry ${String(first + i)} is not what it was`;
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!["logTampered", "corruptedBlob", "cardFailed"].includes(error.kind)) throw error;
    return `cannot be read to its end: ${error.message}`;
  }
}
