// SPDX-License-Identifier: MIT
/**
 * Sets up the state folder: both authorities, a relay certificate, this computer's client identity, the repository
 * keys, and last the configuration, whose presence means that all of it is there. A marker lies in the folder until
 * then, so that a run after an interrupted one knows that it may clear away what it finds.
 */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type CertificateRecord, issue, makeAuthorities } from "./certs/authorities";
import { exists, writePrivateFile } from "./private-files";
import { Refusal } from "./refusal";
import { type Config, type RelayAddress, type State, configVersion } from "./state";

export interface InitialiseOptions {
  relay: RelayAddress;
  relayName: string;
  clientName: string;
  /** Names and addresses of the relay's certificate. */
  hosts: readonly string[];
  passphrase: string;
  /** Makes the repository keys and returns the repository's id. */
  createRepository(options: { home: string; passphrase: string }): Promise<{ repositoryId: string }>;
}

export interface Initialised {
  config: Config;
  certificates: CertificateRecord[];
}

const madeHere = ["authorities", "identities", "crl", "devices", "repository"] as const;

/** Refuses a folder in which there is a Coffer already. Nothing is changed then. */
export async function requireUninitialised(state: State): Promise<void> {
  if (await state.isInitialised()) {
    const { createdAt } = await state.loadConfig();
    throw new Refusal(
      "alreadyExists",
      `there already is a Coffer in ${state.home}, made ${createdAt.slice(0, 10)}`,
      {
        hint: "Use it as it is, or choose another folder with --home or $COFFER_HOME.",
      },
    );
  }
  if (await exists(markerPath(state))) return;
  for (const folder of madeHere)
    if (await exists(join(state.home, folder)))
      throw new Refusal("alreadyExists", `${join(state.home, folder)} is already there`, {
        hint: "Choose an empty folder with --home or $COFFER_HOME.",
      });
}

export async function initialise(state: State, options: InitialiseOptions): Promise<Initialised> {
  const certificates: CertificateRecord[] = [];
  const config = await setUp(state, async () => {
    const { repositoryId } = await options.createRepository({
      home: state.home,
      passphrase: options.passphrase,
    });
    await makeAuthorities(state);
    certificates.push(
      await issue(state, { role: "relay", name: options.relayName, hosts: options.hosts }),
      await issue(state, { role: "client", name: options.clientName, hosts: [] }),
    );
    return {
      version: configVersion,
      relay: options.relay,
      client: options.clientName,
      repositoryId,
      createdAt: new Date().toISOString(),
    };
  });
  return { config, certificates };
}

/** `make` writes everything but the configuration, which it returns. When it fails, nothing stays of what it wrote. */
export async function setUp(state: State, make: () => Promise<Config>): Promise<Config> {
  await requireUninitialised(state);
  await state.makeHome();
  if (await exists(markerPath(state))) await clear(state);
  await writePrivateFile(markerPath(state), "");
  try {
    const config = await make();
    await state.saveConfig(config);
    await rm(markerPath(state), { force: true });
    return config;
  } catch (error) {
    await clear(state);
    await rm(markerPath(state), { force: true });
    throw error;
  }
}

function markerPath(state: State): string {
  return join(state.home, "initialising");
}

/** Only what an unfinished run of this made, never anything else in the folder. */
async function clear(state: State): Promise<void> {
  for (const folder of madeHere) await rm(join(state.home, folder), { recursive: true, force: true });
}
