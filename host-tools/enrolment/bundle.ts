// SPDX-License-Identifier: MIT
/**
 * Everything that a new computer gets from the one that adds it, and how it is checked before any of it is written. Its
 * private key is not in it: that never leaves the computer where it was made.
 */

import { X509Certificate, createPublicKey } from "node:crypto";
import { readCertificate } from "../certs/certificate-facts";
import { canonicalHost } from "../certs/hosts";
import { isName } from "../names";
import { Refusal } from "../refusal";
import type { DeviceRecord, RelayAddress } from "../state";

/** More than anybody has; the bound of a list that comes from elsewhere. */
const MAX_DEVICES = 1000;

export interface Bundle {
  /** The client's name. */
  name: string;
  relay: RelayAddress;
  /** PEM. */
  certificate: string;
  deviceAuthority: string;
  relayAuthority: string;
  /** What both authorities have revoked, PEM. */
  crl: { device?: string; relay?: string };
  repositoryId: string;
  /** repository.json without the other computer's writer, when there is one. */
  keys?: string;
  devices: DeviceRecord[];
}

/** Takes what was received apart. `publicKey`: the key that the certificate has to be for, SPKI PEM. */
export function readBundle(message: Record<string, unknown>, publicKey: string): Bundle {
  const { name, relay, repositoryId, keys, devices, crl } = message;
  const text = (key: string): string => {
    const value = message[key];
    if (typeof value !== "string") throw wrong(`no ${key}`);
    return value;
  };
  const { host, port } = asRecord(relay);
  if (typeof name !== "string" || !isName(name)) throw wrong("no name");
  if (typeof host !== "string" || canonicalHost(host) !== host) throw wrong("no relay");
  if (typeof port !== "number" || !(port >= 1 && port <= 65535)) throw wrong("no relay");
  if (typeof repositoryId !== "string" || !/^[0-9a-f]{0,64}$/.test(repositoryId))
    throw wrong("no repository");
  if (!Array.isArray(devices) || devices.length > MAX_DEVICES) throw wrong("no devices");
  const { device: deviceCrl, relay: relayCrl } = asRecord(crl);
  const [certificate, deviceAuthority] = [text("certificate"), text("deviceAuthority")];
  requireOwn(certificate, deviceAuthority, name, publicKey);
  return {
    name,
    relay: { host, port },
    certificate,
    deviceAuthority,
    relayAuthority: requireCertificate(text("relayAuthority")),
    crl: {
      ...(typeof deviceCrl === "string" ? { device: deviceCrl } : {}),
      ...(typeof relayCrl === "string" ? { relay: relayCrl } : {}),
    },
    repositoryId,
    ...(typeof keys === "string" ? { keys } : {}),
    devices: (devices as unknown[]).map(readDevice),
  };
}

function readDevice(value: unknown): DeviceRecord {
  const { name, pairingSecret, createdAt, certificateSerial } = asRecord(value);
  if (typeof name !== "string" || !isName(name)) throw wrong("a device without a name");
  if (typeof pairingSecret !== "string" || !/^[0-9a-f]{64}$/.test(pairingSecret))
    throw wrong("a device without a pairing");
  const plain = (field: unknown): string => (typeof field === "string" ? field.slice(0, 100) : "");
  const serial = plain(certificateSerial);
  return { version: 1, name, pairingSecret, createdAt: plain(createdAt), certificateSerial: serial };
}

function requireOwn(certificate: string, authority: string, name: string, publicKey: string): void {
  const facts = readCertificate(requireCertificate(certificate));
  const leaf = new X509Certificate(certificate);
  const isOwn =
    facts.role === "client" &&
    facts.name === name &&
    leaf.publicKey.equals(createPublicKey(publicKey)) &&
    leaf.verify(new X509Certificate(requireCertificate(authority)).publicKey);
  if (!isOwn) throw wrong("a certificate for something else");
}

function requireCertificate(pem: string): string {
  try {
    new X509Certificate(pem);
    return pem;
  } catch {
    throw wrong("no certificate");
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function wrong(what: string): Refusal {
  return new Refusal("protocolViolation", `the other computer sent what no Coffer sends: ${what}`, {
    hint: "Update Coffer on both computers.",
  });
}
