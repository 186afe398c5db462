// SPDX-License-Identifier: MIT
/**
 * From a passphrase, keyfile or recovery code to keys. The key slots are on this computer; where they are not, any device
 * of the repository has them in its key log, so that a passphrase alone recovers everything. docs/repository.md "Keys".
 */

import { Refusal } from "../refusal";
import type { BlobDevice } from "./blob-device";
import { type KeyFile, damagedKeyFile, loadKeyFile, saveKeyFile } from "./key-file";
import { readKeyLog } from "./key-log";
import { type KeySecret, slotSecret } from "./key-secret";
import type { Keyring } from "./keyring";
import { repositoryOfKeyLog } from "./repository-keys";
import { SlotOpener } from "./slot-opener";

export interface Unlocked {
  file: KeyFile;
  keyring: Keyring;
  opener: SlotOpener;
}

/** What can be done before any device is connected: a passphrase takes its time, and so do connections. */
export interface Unlocking {
  opener: SlotOpener;
  file: KeyFile | undefined;
  /** By the slots that this computer knows. */
  known: Keyring | undefined;
}

export async function startUnlocking(home: string, secret: KeySecret): Promise<Unlocking> {
  const opener = new SlotOpener(slotSecret(secret));
  const file = await loadKeyFile(home);
  const known = file && (await opener.open([file.statement], file.links, file.repositoryId));
  return { opener, file, known };
}

/** Refuses with `wrongPassphrase`, or `notInitialised` when there is no repository here nor on the devices. */
export async function unlock(
  home: string,
  secret: KeySecret,
  devices: readonly BlobDevice[],
  started = startUnlocking(home, secret),
): Promise<Unlocked> {
  const { opener, file, known } = await started;
  if (file && known) return { file, keyring: known, opener };
  if (file) return unlockByDevices(home, file, opener, devices);
  let isFound = false;
  for (const device of devices)
    for (const { log } of await device.logList()) {
      const repositoryId = repositoryOfKeyLog(log)?.slice();
      if (!repositoryId) continue;
      const found = await readKeyLog(device, repositoryId);
      isFound ||= found.statements.length > 0;
      const keyring = await opener.open(found.statements, found.links, repositoryId);
      if (!keyring) continue;
      const { statement, links } = keyring;
      const recovered: KeyFile = { repositoryId, statement, links, writer: undefined };
      await saveKeyFile(home, recovered);
      return { file: recovered, keyring, opener };
    }
  if (isFound) throw opener.refusal();
  throw new Refusal("notInitialised", `there is no repository in ${home}, and none on the devices`, {
    hint: "Run `coffer init`, or connect a device that holds the repository.",
  });
}

/** A key that was added elsewhere is on the devices first: their word counts when it leads to what is known here. */
async function unlockByDevices(
  home: string,
  file: KeyFile,
  opener: SlotOpener,
  devices: readonly BlobDevice[],
): Promise<Unlocked> {
  const { repositoryId, statement, links } = file;
  if (opener.forged) throw damagedKeyFile(home, opener.forged);
  for (const device of devices) {
    const found = await readKeyLog(device, repositoryId);
    const statements = found.statements.filter((other) => other.epoch >= statement.epoch);
    const keyring = await opener.open(statements, [...found.links, ...links], repositoryId);
    if (keyring?.isPredecessor(statement)) return { file, keyring, opener };
  }
  throw opener.refusal();
}
