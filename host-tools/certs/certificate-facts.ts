// SPDX-License-Identifier: MIT
/** What a certificate says, read with Node's own parser (forge is slow to load and only needed for making them). */

import { X509Certificate } from "node:crypto";
import { Refusal } from "../refusal";
import { canonicalHost } from "./hosts";
import { type Role, identityFromAltName } from "./roles";

export interface CertificateFacts {
  /** Undefined for an authority or a certificate that is not Coffer's. */
  role: Role | undefined;
  name: string;
  /** Lower-case hex, as a CRL names it. */
  serial: string;
  notBefore: Date;
  notAfter: Date;
  /** DNS names and numeric addresses, in the certificate's order. */
  hosts: string[];
}

export function readCertificate(pem: string): CertificateFacts {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw new Refusal("damagedState", "a certificate file holds no certificate", { cause });
  }
  const identity = identityFromAltName(certificate.subjectAltName);
  return {
    role: identity?.role,
    name: identity?.name ?? /(?:^|\n)CN=(.*)/.exec(certificate.subject)?.[1] ?? "",
    serial: certificate.serialNumber.toLowerCase(),
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
    hosts: hostsFrom(certificate.subjectAltName),
  };
}

function hostsFrom(subjectAltName: string | undefined): string[] {
  return (subjectAltName ?? "").split(", ").flatMap((part) => {
    if (part.startsWith("DNS:")) return [part.slice("DNS:".length)];
    if (part.startsWith("IP Address:")) return [canonicalHost(part.slice("IP Address:".length)) ?? part];
    return [];
  });
}

/** `notYet` covers a clock that is wrong: the certificate starts in the future. */
export type CertificateState =
  "valid" | "expires soon" | "expired" | "not yet valid" | "revoked" | "replaced";

/** From how many days before its end a certificate is worth a warning. */
export const soonDays = 30;

export function stateOf(
  facts: Pick<CertificateFacts, "notBefore" | "notAfter" | "serial">,
  revoked: ReadonlySet<string>,
  now: Date,
): CertificateState {
  if (revoked.has(facts.serial)) return "revoked";
  if (now > facts.notAfter) return "expired";
  if (now < facts.notBefore) return "not yet valid";
  return facts.notAfter.getTime() - now.getTime() < soonDays * 86_400_000 ? "expires soon" : "valid";
}

/** Refuses an own certificate that the other end would refuse anyway, with the remedy. */
export function requireCurrent(role: Role, name: string, certificate: string, now = new Date()): void {
  const facts = readCertificate(certificate);
  const renew = `Run \`coffer cert renew ${role} ${name}\` where the authorities are.`;
  if (now > facts.notAfter)
    throw new Refusal(
      "certificateExpired",
      `the certificate of ${role} ${name} expired on ${day(facts.notAfter)}`,
      {
        hint: renew,
      },
    );
  if (now < facts.notBefore)
    throw new Refusal(
      "certificateExpired",
      `the certificate of ${role} ${name} is valid from ${facts.notBefore.toISOString()} on, which is in the future`,
      { hint: "Set the clock of this computer." },
    );
}

export function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
