// SPDX-License-Identifier: MIT
/**
 * From passphrase to keys. The key slots are on this computer; where they are not, any device of the repository has them
 * in its key log, so that a passphrase alone recovers everything. docs/repository.md "Key slots".
 */

import { NO_ENTRY } from "../../firmware/protocol/log-chain";
import { Refusal } from "../refusal";
import { LogConflict } from "../remote/device-failure";
import type { BlobDevice } from "./blob-device";
import { type KeyFile, loadKeyFile, saveKeyFile } from "./key-file";
import { type KeySlot, MAX_SLOTS, SLOT_BYTES, decodeKeySlot, encodeKeySlot, openKeySlot } from "./key-slot";
import { RepositoryKeys, keyLogId, repositoryOfKeyLog } from "./repository-keys";

export interface Unlocked {
  file: KeyFile;
  keys: RepositoryKeys;
}

/** Refuses with `wrongPassphrase`, or `notInitialised` when there is no repository here nor on the devices. */
export async function unlock(
  home: string,
  passphrase: string,
  devices: readonly BlobDevice[],
): Promise<Unlocked> {
  const file = await loadKeyFile(home);
  if (file) {
    const keys = await openSlots(file.slots, file.repositoryId, passphrase);
    if (keys) return { file, keys };
    throw wrongPassphrase();
  }
  const found = await findOnDevices(devices);
  for (const { repositoryId, slots } of found) {
    const keys = await openSlots(slots, repositoryId, passphrase);
    if (!keys) continue;
    const recovered: KeyFile = { repositoryId, slots, writer: undefined };
    await saveKeyFile(home, recovered);
    return { file: recovered, keys };
  }
  if (found.length > 0) throw wrongPassphrase();
  throw new Refusal("notInitialised", `there is no repository in ${home}, and none on the devices`, {
    hint: "Run `coffer init`, or connect a device that holds the repository.",
  });
}

/** Appends to the device's key log the slots that it lacks. */
export async function storeKeySlots(device: BlobDevice, file: KeyFile): Promise<void> {
  const log = keyLogId(file.repositoryId);
  for (let attempt = 1; ; attempt++) {
    const { head, entries } = await readKeyLog(device, log);
    const present = new Set(entries.map((entry) => Buffer.from(entry).toString("hex")));
    let last = head;
    try {
      for (const slot of file.slots) {
        const entry = encodeKeySlot(slot, file.repositoryId);
        if (!present.has(Buffer.from(entry).toString("hex")))
          last = (await device.logAppend(log, last, entry)).head;
      }
      return;
    } catch (error) {
      if (!(error instanceof LogConflict) || attempt === 3) throw error;
    }
  }
}

async function openSlots(
  slots: readonly KeySlot[],
  repositoryId: Uint8Array,
  passphrase: string,
): Promise<RepositoryKeys | undefined> {
  for (const slot of slots) {
    const master = await openKeySlot(slot, repositoryId, passphrase);
    if (!master) continue;
    const keys = new RepositoryKeys(master, repositoryId);
    master.fill(0);
    return keys;
  }
  return undefined;
}

async function findOnDevices(
  devices: readonly BlobDevice[],
): Promise<{ repositoryId: Uint8Array; slots: KeySlot[] }[]> {
  const found: { repositoryId: Uint8Array; slots: KeySlot[] }[] = [];
  for (const device of devices)
    for (const { log } of await device.logList()) {
      const repositoryId = repositoryOfKeyLog(log)?.slice();
      if (!repositoryId) continue;
      const slots: KeySlot[] = [];
      for (const entry of (await readKeyLog(device, log)).entries) {
        const slot = tryDecode(entry, repositoryId);
        if (slot && slots.length < MAX_SLOTS) slots.push(slot);
      }
      if (slots.length > 0) found.push({ repositoryId, slots });
    }
  return found;
}

/** What a hostile device may have put there is bounded by the slots that are looked at. */
async function readKeyLog(
  device: BlobDevice,
  log: Uint8Array,
): Promise<{ head: Uint8Array; entries: Uint8Array[] }> {
  const { head, entries } = await device.logRead(log, 0, NO_ENTRY);
  return { head, entries: entries.filter((entry) => entry.length === SLOT_BYTES) };
}

function tryDecode(entry: Uint8Array, repositoryId: Uint8Array): KeySlot | undefined {
  try {
    return decodeKeySlot(entry, repositoryId);
  } catch {
    return undefined;
  }
}

function wrongPassphrase(): Refusal {
  return new Refusal("wrongPassphrase", "the passphrase does not open the repository", {
    hint: "Check the keyboard layout and Caps Lock, and try again.",
  });
}
