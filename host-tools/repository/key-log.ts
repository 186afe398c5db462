// SPDX-License-Identifier: MIT
/**
 * The key log on a device: an append-only log of key statements and links, recognised and read without any key. What
 * does not decode or does not verify is passed over: whoever reaches the device may have put it there.
 */

import { createHash } from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import { NO_ENTRY } from "../../firmware/protocol/log-chain";
import { Refusal } from "../refusal";
import { LogConflict } from "../remote/device-failure";
import type { BlobDevice, LogHead } from "./blob-device";
import { type KeyLink, type KeyStatement, decodeLink, decodeStatement } from "./key-statement";
import type { KeyChange, Keyring } from "./keyring";
import type { LocalState } from "./local-state";
import { keyLogId } from "./repository-keys";
import type { SlotOpener } from "./slot-opener";

/** More than a repository ever needs: two for each epoch, and slots that were added. A longer log is not read on. */
const MAX_ENTRIES = 4096;
const CONFLICT_ATTEMPTS = 3;

export interface KeyLog {
  /** Newest first. */
  statements: KeyStatement[];
  links: KeyLink[];
}

interface StoredLog {
  head: LogHead;
  entries: Uint8Array[];
}

export interface KeyLogContext {
  keyring: Keyring;
  local: LocalState;
  /** Of the secret that opened the keyring. */
  opener: SlotOpener;
  onWarning: (text: string) => void;
}

export async function readKeyLog(device: BlobDevice, repositoryId: Uint8Array): Promise<KeyLog> {
  return decode((await read(device, keyLogId(repositoryId))).entries, repositoryId);
}

/**
 * Takes up what a device's key log has gained. Refuses with `logTampered` when the device took something back, with
 * `wrongPassphrase` when the keys were changed and the slot of this session is not among the new ones.
 */
export async function syncKeyLog(device: BlobDevice, context: KeyLogContext): Promise<void> {
  const { keyring, local } = context;
  const log = keyLogId(keyring.repositoryId);
  const remembered = local.keyLogHead(device.name);
  const now = await device.logHead(log);
  if (remembered?.count === now.count && remembered.head === hex(now.head)) return;
  await take(device, await read(device, log), context);
}

/**
 * Appends a change to the key log as it was when it was last taken up: throws LogConflict when somebody else has changed
 * keys since.
 */
export async function announceChange(
  device: BlobDevice,
  { statement, links }: KeyChange,
  { keyring, local }: KeyLogContext,
): Promise<void> {
  const log = keyLogId(keyring.repositoryId);
  let previous: Uint8Array = Buffer.from(local.keyLogHead(device.name)?.head ?? hex(NO_ENTRY), "hex");
  for (const { bytes } of [...links.slice(keyring.links.length), statement])
    previous = (await device.logAppend(log, previous, bytes)).head;
}

/** Appends to the device's key log what it lacks of the keyring. */
export async function publishKeys(device: BlobDevice, context: KeyLogContext): Promise<void> {
  const { keyring, local } = context;
  const log = keyLogId(keyring.repositoryId);
  for (let attempt = 1; ; attempt++) {
    const stored = await read(device, log);
    await take(device, stored, context);
    const present = new Set(stored.entries.map(hex));
    let { head } = stored;
    try {
      for (const { bytes } of [...keyring.links, keyring.statement])
        if (!present.has(hex(bytes))) head = await device.logAppend(log, head.head, bytes);
      local.setKeyLogHead(device.name, { count: head.count, head: hex(head.head) });
      return;
    } catch (error) {
      if (!(error instanceof LogConflict) || attempt === CONFLICT_ATTEMPTS) throw error;
    }
  }
}

async function take(device: BlobDevice, stored: StoredLog, context: KeyLogContext): Promise<void> {
  const { keyring, local, opener, onWarning } = context;
  const { head, entries } = stored;
  const remembered = local.keyLogHead(device.name);
  if (
    remembered &&
    (entries.length < remembered.count || hex(chain(entries, remembered.count)) !== remembered.head)
  )
    throw new Refusal(
      "logTampered",
      `${device.name}: the key log was put back to an older state (it had ${String(remembered.count)} entries and now has ${String(entries.length)}, or others)`,
      {
        hint: "Somebody changed the device, or its card was replaced or put back to an older copy. Keys that were removed may be in use again there.",
      },
    );
  const { statements, links } = decode(entries, keyring.repositoryId);
  const doubts = new Set<string>();
  for (const statement of statements.reverse()) {
    const isLeftOut = statement.epoch > keyring.epoch && !keyring.isIn(statement);
    const slot = isLeftOut ? await opener.slotIn(statement, keyring.repositoryId) : undefined;
    try {
      if (keyring.adopt(statement, links, slot) === "removed") throw removed(device);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      doubts.add(error.message);
    }
  }
  for (const doubt of doubts) onWarning(`key log of ${device.name}: ${doubt}; it is passed over`);
  local.setKeyLogHead(device.name, { count: head.count, head: hex(head.head) });
}

async function read(device: BlobDevice, log: Uint8Array): Promise<StoredLog> {
  const entries: Uint8Array[] = [];
  let head = await device.logRead(log, 0, NO_ENTRY);
  while (head.entries.length > 0 && entries.length < MAX_ENTRIES) {
    entries.push(...head.entries);
    if (entries.length >= head.count) break;
    head = await device.logRead(log, entries.length, chain(entries, entries.length));
  }
  return { head: { count: entries.length, head: chain(entries, entries.length) }, entries };
}

function decode(entries: readonly Uint8Array[], repositoryId: Uint8Array): KeyLog {
  const statements: KeyStatement[] = [];
  const links: KeyLink[] = [];
  for (const entry of entries) {
    const statement = attempt(() => decodeStatement(entry, repositoryId));
    if (statement) statements.push(statement);
    const link = attempt(() => decodeLink(entry, repositoryId));
    if (link) links.push(link);
  }
  statements.sort((a, b) => b.epoch - a.epoch || b.generation - a.generation);
  return { statements, links };
}

function attempt<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}

/** The hash that a log with the first `count` of these entries ends with. */
function chain(entries: readonly Uint8Array[], count: number): Uint8Array {
  let head = NO_ENTRY;
  for (const entry of entries.slice(0, count))
    head = createHash("sha256").update(head).update(entry).digest();
  return head;
}

function removed(device: BlobDevice): Refusal {
  return new Refusal(
    "wrongPassphrase",
    `this key was removed from the repository (${device.name} has newer keys without it)`,
    { hint: "Use another passphrase, keyfile or recovery code of the repository." },
  );
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
