// SPDX-License-Identifier: MIT
/**
 * Who may be what. Two authorities that never sign for each other: a device trusts only the relay authority, a
 * relay only the device authority, so a stolen device's key can never pose as a relay (the TLS of the boards
 * checks neither basicConstraints nor the extended key usage).
 *
 * The identity is a URI in the subject alternative name, `coffer:ROLE:NAME`; the common name is for people.
 */

import { Refusal } from "../refusal";
import { isName } from "../names";

export const roles = ["relay", "keyholder", "registry", "device", "client"] as const;
export type Role = (typeof roles)[number];

export const authorityNames = ["relay", "device"] as const;
export type AuthorityName = (typeof authorityNames)[number];

export function isRole(text: string): text is Role {
  return (roles as readonly string[]).includes(text);
}

export function requireRole(text: string): Role {
  if (isRole(text)) return text;
  throw new Refusal("usage", `there is no role ${JSON.stringify(text)}`, {
    hint: `The roles are ${roles.join(", ")}.`,
  });
}

/** The authority that signs a role's certificates. */
export function authorityOf(role: Role): AuthorityName {
  return role === "device" || role === "client" ? "device" : "relay";
}

/** The authority whose certificates a role accepts from the other end of a connection. */
export function peerAuthorityOf(role: Role): AuthorityName {
  return authorityOf(role) === "relay" ? "device" : "relay";
}

/** How long a leaf lives unless the person says otherwise: machines that can be reached get the shorter time. */
export function defaultDays(role: Role): number {
  return authorityOf(role) === "relay" ? 730 : 1826;
}

export interface PeerIdentity {
  role: Role;
  name: string;
}

export function identityUri(role: Role, name: string): string {
  return `coffer:${role}:${name}`;
}

/**
 * Reads the identity out of `subjectAltName` as Node prints it ("URI:coffer:device:cam1, DNS:..."). Gives undefined
 * for a certificate that carries none, more than one, or one that is malformed.
 */
export function identityFromAltName(subjectAltName: string | undefined): PeerIdentity | undefined {
  const text = subjectAltName ?? "";
  // Node quotes a name that holds its own separators; none of ours does, so nobody can hide one inside another.
  if (text.includes('"')) return undefined;
  const found = text.split(", ").filter((part) => /^URI:coffer:/i.test(part));
  if (found.length !== 1) return undefined;
  const [role, name, ...rest] = (found[0] ?? "").slice("URI:coffer:".length).split(":");
  if (role === undefined || name === undefined || rest.length > 0) return undefined;
  return isRole(role) && isName(name) ? { role, name } : undefined;
}
