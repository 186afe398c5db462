// SPDX-License-Identifier: MIT
/** Certificates for the tests of this folder, as `coffer init` makes them; made once a process. */

import { type CertifiedKey, makeAuthority, makeLeaf } from "../../certs/certificate";
import { makeRevocationList, revoke } from "../../certs/revocation-list";
import { readCertificate } from "../../certs/certificate-facts";
import type { Role } from "../../certs/roles";
import type { ClientIdentity } from "../relay-tls";

export interface TestCertificates {
  relayAuthority: CertifiedKey;
  deviceAuthority: CertifiedKey;
  relay: CertifiedKey;
  client: ClientIdentity;
}

const DAYS = 30;

async function make(): Promise<TestCertificates> {
  const now = new Date();
  const [relayAuthority, deviceAuthority] = await Promise.all([
    makeAuthority("relay", now),
    makeAuthority("device", now),
  ]);
  const hosts = ["127.0.0.1", "localhost"];
  const [relay, client] = await Promise.all([
    makeLeaf(relayAuthority, { role: "relay", name: "relay1", hosts, days: DAYS }, now),
    makeLeaf(deviceAuthority, { role: "client", name: "laptop", hosts: [], days: DAYS }, now),
  ]);
  return {
    relayAuthority,
    deviceAuthority,
    relay,
    client: {
      key: client.key,
      chain: client.certificate + deviceAuthority.certificate,
      ca: relayAuthority.certificate,
    },
  };
}

let made: Promise<TestCertificates> | undefined;

export function testCertificates(): Promise<TestCertificates> {
  made ??= make();
  return made;
}

/** Another leaf of one of our authorities. */
export async function testLeaf(
  role: Role,
  name: string,
  options: { hosts?: string[]; now?: Date; days?: number } = {},
): Promise<CertifiedKey> {
  const { relayAuthority, deviceAuthority } = await testCertificates();
  const authority = role === "device" || role === "client" ? deviceAuthority : relayAuthority;
  const { hosts = [], now = new Date(), days = DAYS } = options;
  return makeLeaf(authority, { role, name, hosts, days }, now);
}

export async function foreignRelay(): Promise<CertifiedKey> {
  const authority = await makeAuthority("relay", new Date());
  return makeLeaf(authority, { role: "relay", name: "relay1", hosts: ["127.0.0.1"], days: DAYS }, new Date());
}

/** The relay authority's list, with `certificate` on it. */
export async function listRevoking(certificate: string | undefined): Promise<string> {
  const { relayAuthority } = await testCertificates();
  const list = await makeRevocationList(relayAuthority, new Date());
  if (certificate === undefined) return list;
  return revoke(list, relayAuthority, [readCertificate(certificate).serial], new Date());
}
