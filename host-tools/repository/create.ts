// SPDX-License-Identifier: MIT
/** Makes a new, empty repository on this computer. Devices learn of it with the first push. */

import { randomBytes } from "node:crypto";
import { Refusal } from "../refusal";
import { loadKeyFile, makeWriter, saveKeyFile } from "./key-file";
import { slotSecret } from "./key-secret";
import { makeKeySlot } from "./key-slot";
import { Keyring } from "./keyring";
import { EpochKeys, KEY_BYTES, REPOSITORY_ID_BYTES } from "./repository-keys";

export interface CreateOptions {
  home: string;
  passphrase: string;
}

/** The id is hexadecimal. Refuses with `alreadyExists` rather than touch keys that open something. */
export async function createRepository(options: CreateOptions): Promise<{ repositoryId: string }> {
  const { home, passphrase } = options;
  if (passphrase === "") throw new Refusal("noPassphrase", "the passphrase is empty");
  if (await loadKeyFile(home))
    throw new Refusal("alreadyExists", `there is a repository in ${home} already`, {
      hint: "Use it, or point --home or $COFFER_HOME at another folder.",
    });
  const repositoryId = randomBytes(REPOSITORY_ID_BYTES);
  const master = randomBytes(KEY_BYTES);
  const { slot, opened } = await makeKeySlot({
    secret: slotSecret(passphrase),
    label: "first",
    repositoryId,
    createdAtMs: Date.now(),
    anchor: { epoch: 0, mark: new EpochKeys(master, repositoryId).anchor },
  });
  const keyring = Keyring.create(slot, opened, master, repositoryId);
  const { writer } = makeWriter(keyring.keys);
  const { statement, links } = keyring;
  await saveKeyFile(home, { repositoryId, statement, links, writer }, { exclusive: true });
  keyring.zero();
  return { repositoryId: repositoryId.toString("hex") };
}
