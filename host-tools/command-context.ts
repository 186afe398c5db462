// SPDX-License-Identifier: MIT
/** What every command is given besides its own options. */

import { Output } from "./render";
import { State, resolveHome } from "./state";

/** Options that every command takes. */
export interface GlobalOptions {
  json: boolean;
  quiet: boolean;
  home: string | undefined;
}

export interface CommandContext {
  state: State;
  output: Output;
}

export function contextOf(options: GlobalOptions): CommandContext {
  const { json, quiet, home } = options;
  return { state: new State(resolveHome(home)), output: new Output({ json, quiet }) };
}

/** The definition of `--passphrase-file` for commands that open the repository. */
export const passphraseFileOption = {
  type: "string",
  describe: "Read the passphrase from the first line of a file ($COFFER_PASSPHRASE works, too)",
  requiresArg: true,
  normalize: true,
} as const;

/** The definition of `--keyfile` for the same. */
export const keyfileOption = {
  type: "string",
  describe: "Open with a keyfile instead of a passphrase ($COFFER_KEYFILE works, too)",
  requiresArg: true,
  normalize: true,
} as const;
