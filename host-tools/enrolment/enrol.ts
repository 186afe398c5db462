// SPDX-License-Identifier: MIT
/** What a computer that is set up gives to a new one. */

import { createPublicKey } from "node:crypto";
import { issueForKey, loadAuthority } from "../certs/authorities";
import { readIfPresent } from "../private-files";
import { Refusal } from "../refusal";
import { exportKeyFile } from "../repository/key-file";
import type { DeviceRecord, State } from "../state";
import type { Bundle } from "./bundle";

const KEY_BITS = { least: 2048, most: 4096 } as const;

export async function enrol(state: State, name: string, publicKey: string): Promise<Bundle> {
  requireKey(publicKey);
  const { relay, repositoryId } = await state.loadConfig();
  const keys = await exportKeyFile(state.home);
  const { certificate: deviceAuthority } = await loadAuthority(state, "device");
  const relayAuthority = await readIfPresent(state.authorityPaths("relay").certificate);
  if (relayAuthority === undefined)
    throw new Refusal("damagedState", "the certificate of the relay authority is missing", {
      hint: "Restore the state folder from a copy.",
    });
  const crl = {
    device: await readIfPresent(state.authorityPaths("device").crl),
    relay: await readIfPresent(state.authorityPaths("relay").crl),
  };
  const devices = await devicesOf(state);
  // Last, because from here on the name is taken.
  const { certificate } = await issueForKey(state, { role: "client", name, publicKey });
  return {
    name,
    relay,
    certificate,
    deviceAuthority,
    relayAuthority,
    crl: {
      ...(crl.device === undefined ? {} : { device: crl.device }),
      ...(crl.relay === undefined ? {} : { relay: crl.relay }),
    },
    repositoryId,
    ...(keys === undefined ? {} : { keys }),
    devices,
  };
}

async function devicesOf(state: State): Promise<DeviceRecord[]> {
  const records: DeviceRecord[] = [];
  for (const device of await state.listDevices()) {
    const { name, pairingSecret, createdAt, certificateSerial } = await state.loadDevice(device);
    const secret = Buffer.from(pairingSecret).toString("hex");
    records.push({ version: 1, name, pairingSecret: secret, createdAt, certificateSerial });
  }
  return records;
}

/** Only what our own certificates have: forge signs anything. */
function requireKey(publicKey: string): void {
  let bits: number | undefined;
  try {
    const key = createPublicKey({ key: publicKey, format: "pem", type: "spki" });
    bits = key.asymmetricKeyType === "rsa" ? key.asymmetricKeyDetails?.modulusLength : undefined;
  } catch {
    bits = undefined;
  }
  if (bits === undefined || bits < KEY_BITS.least || bits > KEY_BITS.most)
    throw new Refusal("protocolViolation", "the other computer sent a key that no Coffer makes");
}
