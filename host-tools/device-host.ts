// SPDX-License-Identifier: MIT
/** What a device that runs on this computer needs: `coffer node` and `coffer sim`. */

import { stat } from "node:fs/promises";
import { requireCurrent } from "./certs/certificate-facts";
import { requireAddress } from "./certs/hosts";
import { requireName } from "./names";
import { Refusal, fromFileError } from "./refusal";
import type { Identity, RelayAddress, State } from "./state";

export interface DeviceSetup {
  name: string;
  identity: Identity;
  /** 32 bytes each. */
  pairings: Uint8Array[];
  /** Absent: the device looks for a relay. */
  relay?: RelayAddress;
}

/**
 * Reads a device's identity and pairing. The relay is the one of `--relay`, else of the configuration; a state folder
 * that holds only a device's files has none.
 */
export async function loadDeviceSetup(
  state: State,
  name: string,
  relayOption: string | undefined,
): Promise<DeviceSetup> {
  const device = await state.loadDevice(requireName(name, "a device"));
  const identity = await state.loadIdentity("device", name);
  requireCurrent("device", name, identity.certificate);
  const relay = await chooseRelay(state, relayOption);
  return { name, identity, pairings: [device.pairingSecret], ...(relay === undefined ? {} : { relay }) };
}

async function chooseRelay(state: State, option: string | undefined): Promise<RelayAddress | undefined> {
  if (option !== undefined) return requireAddress(option);
  return (await state.isInitialised()) ? (await state.loadConfig()).relay : undefined;
}

/**
 * Refuses a folder that is not there instead of making it: where a disk is not mounted, the blobs would otherwise
 * fill the one below.
 */
export async function requireFolder(path: string): Promise<void> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new Refusal("localPathNotFound", `there is no folder ${path}`, {
        hint: `Make it with \`mkdir ${path}\`, or mount the disk that has it.`,
      });
    throw fromFileError(error, `cannot use ${path}`);
  }
  if (!isFolder) throw new Refusal("wrongKind", `${path} is not a folder`);
}

export const relayOption = {
  type: "string",
  requiresArg: true,
  describe: "The relay's address, HOST:PORT (default: the one given to `coffer init`)",
} as const;
