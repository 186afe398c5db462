// SPDX-License-Identifier: MIT
/**
 * Makes and forgets devices: a certificate, a pairing secret, and the files that a firmware build embeds.
 *
 *   relay-authority.der    whom the device trusts
 *   device.der             its own certificate
 *   device-authority.der   sent behind it
 *   device-key.der         its private key, PKCS#8
 *   device.json            name, relay address (none: it looks for its relay), pairing secret
 */

import { randomBytes } from "node:crypto";
import { access, readFile, rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { writePrivateFile } from "../private-files";
import { Refusal } from "../refusal";
import type { RelayAddress, State } from "../state";
import { type CertificateRecord, issue, loadAuthority, revokeIdentity } from "./authorities";
import { derFromPem } from "./certificate";

export const firmwareFileNames = {
  relayAuthority: "relay-authority.der",
  certificate: "device.der",
  authority: "device-authority.der",
  key: "device-key.der",
  settings: "device.json",
} as const;

/** What device.json holds. */
export interface FirmwareSettings {
  version: 1;
  name: string;
  /** Absent: the device looks for a relay in its own network. */
  relay?: RelayAddress;
  /** 32 bytes, hex. */
  pairingSecret: string;
}

export interface AddedDevice {
  certificate: CertificateRecord;
  /** Absolute path of the folder with the files above. */
  folder: string;
}

export async function addDevice(
  state: State,
  name: string,
  options: { relay?: RelayAddress; certsFolder: string; days?: number },
): Promise<AddedDevice> {
  if ((await state.listDevices()).includes(name))
    throw new Refusal("alreadyExists", `a device named ${name} is already paired`, {
      hint: `Choose another name, or run \`coffer device remove ${name}\` first.`,
    });
  // A certificate without a pairing is what an interrupted attempt left.
  if (await state.hasIdentity("device", name)) await revokeIdentity(state, "device", name);
  const days = options.days === undefined ? {} : { days: options.days };
  const certificate = await issue(state, { role: "device", name, hosts: [], ...days });
  const pairingSecret = randomBytes(32).toString("hex");
  const folder = resolve(options.certsFolder, name);
  const { relay } = options;
  await writeFirmwareFiles(state, { version: 1, name, ...(relay ? { relay } : {}), pairingSecret }, folder);
  // Last, because from here on the device counts as paired.
  await state.saveDevice({
    version: 1,
    name,
    pairingSecret,
    createdAt: new Date().toISOString(),
    certificateSerial: certificate.serial,
    firmwareFolder: folder,
  });
  return { certificate, folder };
}

export async function writeFirmwareFiles(
  state: State,
  settings: FirmwareSettings,
  folder: string,
): Promise<void> {
  const identity = await state.loadIdentity("device", settings.name);
  const { certificate: authority } = await loadAuthority(state, "device");
  const files: [string, string | Uint8Array][] = [
    [firmwareFileNames.key, derFromPem(identity.key)],
    [firmwareFileNames.certificate, derFromPem(identity.certificate)],
    [firmwareFileNames.authority, derFromPem(authority)],
    [firmwareFileNames.relayAuthority, derFromPem(identity.ca)],
    [firmwareFileNames.settings, `${JSON.stringify(settings, undefined, 2)}\n`],
  ];
  for (const [file, bytes] of files) await writePrivateFile(join(folder, file), bytes);
}

/**
 * Brings the firmware files of a device up to date after its certificate was renewed; one that looks for its relay goes on
 * doing so. Returns the folder, if any.
 */
export async function refreshFirmwareFiles(
  state: State,
  name: string,
  relay: RelayAddress,
): Promise<string | undefined> {
  const device = await state.loadDevice(name);
  if (device.firmwareFolder === undefined) return undefined;
  const pairingSecret = Buffer.from(device.pairingSecret).toString("hex");
  const isLooking = await looksForRelay(join(device.firmwareFolder, firmwareFileNames.settings));
  const settings = { version: 1, name, ...(isLooking ? {} : { relay }), pairingSecret } as const;
  await writeFirmwareFiles(state, settings, device.firmwareFolder);
  return device.firmwareFolder;
}

/** False also where there are no settings. */
async function looksForRelay(path: string): Promise<boolean> {
  try {
    return (JSON.parse(await readFile(path, "utf8")) as Partial<FirmwareSettings>).relay === undefined;
  } catch {
    return false;
  }
}

/** Revokes the device's certificates, forgets the pairing and removes its keys from this computer. */
export async function removeDevice(state: State, name: string): Promise<void> {
  const device = await state.loadDevice(name);
  await revokeIdentity(state, "device", name);
  if (device.firmwareFolder !== undefined) {
    for (const file of Object.values(firmwareFileNames))
      await rm(join(device.firmwareFolder, file), { force: true });
    // Whatever else a person keeps in the folder stays, and so does the folder then.
    await rmdir(device.firmwareFolder).catch(() => undefined);
  }
  await state.removeIdentity("device", name);
  await state.removeDevice(name);
}

/** `--certs`, else certs/ of the clone that is the current directory, else the state folder's own. */
export async function chooseCertsFolder(
  state: State,
  option: string | undefined,
  directory: string,
): Promise<string> {
  if (option !== undefined) return resolve(directory, option);
  const isClone =
    (await isThere(join(directory, "manifest.json"))) &&
    (await isThere(join(directory, "certs", "README.md")));
  return isClone ? join(directory, "certs") : join(state.home, "certs");
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
