// SPDX-License-Identifier: MIT
/**
 * What opens the repository, by precedence: --keyfile or --passphrase-file, $COFFER_KEYFILE, $COFFER_PASSPHRASE, the
 * keychain when it was switched on, else the person at the terminal. A recovery code goes wherever a passphrase goes.
 */

import { KeychainKey } from "./keychain";
import { readKeyfile } from "./keyfile";
import { readPassphrase } from "./passphrase";
import { Refusal } from "./refusal";
import type { KeySecret } from "./repository/key-secret";
import type { State } from "./state";

export interface KeySourceOptions {
  keyfile?: string | undefined;
  passphraseFile?: string | undefined;
  /** False where the person has to show another key than the keychain's. */
  mayUseKeychain?: boolean;
  onWarning: (text: string) => void;
  environment?: NodeJS.ProcessEnv;
  keychainKey?: KeychainKey;
}

/** Makes sure first that there is a repository to open. */
export async function keySecretFor(state: State, options: KeySourceOptions): Promise<KeySecret> {
  const { keyfile, passphraseFile, mayUseKeychain = true, environment = process.env } = options;
  await state.loadConfig();
  if (keyfile !== undefined && passphraseFile !== undefined)
    throw new Refusal("usage", "--keyfile and --passphrase-file exclude each other");
  const fromEnvironment = environment["COFFER_KEYFILE"];
  const path =
    keyfile ?? (passphraseFile === undefined && fromEnvironment !== "" ? fromEnvironment : undefined);
  if (path !== undefined) return { kind: "keyfile", bytes: await readKeyfile(path) };
  const isGiven = passphraseFile !== undefined || (environment["COFFER_PASSPHRASE"] ?? "") !== "";
  if (!isGiven && mayUseKeychain) {
    try {
      const bytes = await (options.keychainKey ?? new KeychainKey(state)).secret();
      if (bytes) return { kind: "keychain", bytes };
    } catch (error) {
      if (!(error instanceof Refusal) || error.kind !== "keychainUnusable") throw error;
      options.onWarning(`${error.message}; the passphrase is needed`);
    }
  }
  return readPassphrase({ file: passphraseFile, purpose: "open", environment });
}
