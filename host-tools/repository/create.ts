// SPDX-License-Identifier: MIT
/** Makes a new, empty repository on this computer. Devices learn of it with the first push. */

import { randomBytes } from "node:crypto";
import { Refusal } from "../refusal";
import { loadKeyFile, makeWriter, saveKeyFile } from "./key-file";
import { makeKeySlot } from "./key-slot";
import { KEY_BYTES, REPOSITORY_ID_BYTES, RepositoryKeys } from "./repository-keys";

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
  const keys = new RepositoryKeys(master, repositoryId);
  const { id, sealedKey } = makeWriter(keys);
  const slots = [await makeKeySlot(master, repositoryId, passphrase)];
  await saveKeyFile(home, { repositoryId, slots, writer: { id, sealedKey } }, { exclusive: true });
  master.fill(0);
  keys.zero();
  return { repositoryId: repositoryId.toString("hex") };
}
