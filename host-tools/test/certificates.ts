// SPDX-License-Identifier: MIT
/** Certificates that the tests of one run share: making RSA keys is what takes their time. */

import type { TlsOptions } from "node:tls";
import { type CertifiedKey, makeAuthority, makeKey, makeLeaf } from "../certs/certificate";
import {
  type AuthorityName,
  type Role,
  authorityNames,
  authorityOf,
  defaultDays,
  roles,
} from "../certs/roles";

export interface CertificateFixtures {
  authorities: Record<AuthorityName, CertifiedKey>;
  leafs: Record<Role, CertifiedKey>;
  /** An RSA key to make more leafs with. */
  key: string;
}

let made: Promise<CertificateFixtures> | undefined;

export function certificateFixtures(): Promise<CertificateFixtures> {
  made ??= make();
  return made;
}

/** Of a TLS server that plays the relay before a device. */
export async function playedRelay(): Promise<TlsOptions> {
  const { authorities, leafs } = await certificateFixtures();
  return {
    key: leafs.relay.key,
    cert: leafs.relay.certificate + authorities.relay.certificate,
    ca: authorities.device.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  };
}

/** The names and addresses of the server roles' certificates. */
export const fixtureHosts = ["localhost", "relay.example.org", "127.0.0.1", "::1"];

async function make(): Promise<CertificateFixtures> {
  const now = new Date();
  const key = await makeKey();
  const authorities = Object.fromEntries(
    await Promise.all(authorityNames.map(async (name) => [name, await makeAuthority(name, now)] as const)),
  ) as Record<AuthorityName, CertifiedKey>;
  const leafs = Object.fromEntries(
    await Promise.all(
      roles.map(async (role) => {
        const hosts = authorityOf(role) === "relay" ? fixtureHosts : [];
        const request = { role, name: `a-${role}`, hosts, days: defaultDays(role) };
        return [role, await makeLeaf(authorities[authorityOf(role)], request, now)] as const;
      }),
    ),
  ) as Record<Role, CertifiedKey>;
  return { authorities, leafs, key };
}
