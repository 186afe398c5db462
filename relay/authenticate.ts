// SPDX-License-Identifier: MIT
/**
 * Who is at the other end. TLS has proven that the peer holds the key of a certificate; this says whether the
 * certificate is one that the relay serves, and as what. It runs for full and resumed handshakes alike, because
 * a resumed session carries the certificate of the first one and OpenSSL does not look at it again.
 */
import { X509Certificate } from "node:crypto";
import { MAX_NAME_BYTES } from "../firmware/protocol/limits";
import { revocationKey } from "./revocations";

export type PeerRole = "device" | "client";

export interface PeerIdentity {
  role: PeerRole;
  name: string;
  serial: string;
  expiresAtMs: number;
  /** Fingerprint of the authority that signed it, and what a list of revoked certificates names it by. */
  authority: string;
  revocationKey: string;
}

/** What a relay believes: replaced as a whole when its files change. */
export interface Trust {
  authorities: readonly X509Certificate[];
  revoked: ReadonlySet<string>;
}

export type RefusalReason =
  | "noCertificate"
  | "foreignAuthority"
  | "expired"
  | "notYetValid"
  | "usage"
  | "noIdentity"
  | "manyIdentities"
  | "badIdentity"
  | "wrongRole"
  | "revoked";

export class Refused extends Error {
  readonly reason: RefusalReason;
  constructor(reason: RefusalReason) {
    super(`certificate refused: ${reason}`);
    this.reason = reason;
  }
}

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const NAME = new RegExp(`^[a-z0-9-]{1,${MAX_NAME_BYTES}}$`);

/** Whether this can be the name in a certificate. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** Throws Refused. */
export function authenticate(
  certificate: X509Certificate | undefined,
  trust: Trust,
  nowMs: number,
): PeerIdentity {
  if (!certificate) throw new Refused("noCertificate");
  const authority = trust.authorities.find(
    (ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey),
  );
  if (!authority || certificate.ca) throw new Refused("foreignAuthority");
  const expiresAtMs = Date.parse(certificate.validTo);
  // Written so that a date that does not parse (NaN) refuses.
  if (!(nowMs < expiresAtMs)) throw new Refused("expired");
  if (!(nowMs >= Date.parse(certificate.validFrom))) throw new Refused("notYetValid");
  // Node types this as string[]; it is undefined when the extension is absent.
  const usages = certificate.keyUsage as string[] | undefined;
  if (!usages?.includes(CLIENT_AUTH)) throw new Refused("usage");
  const { role, name } = identityOf(certificate.subjectAltName);
  const serial = certificate.serialNumber;
  const key = revocationKey(authority, serial);
  if (trust.revoked.has(key)) throw new Refused("revoked");
  return { role, name, serial, expiresAtMs, authority: authority.fingerprint256, revocationKey: key };
}

/** Whether a peer that was let in would still be. */
export function refusalNow(peer: PeerIdentity, trust: Trust, nowMs: number): RefusalReason | undefined {
  if (trust.revoked.has(peer.revocationKey)) return "revoked";
  if (nowMs >= peer.expiresAtMs) return "expired";
  if (!trust.authorities.some((ca) => ca.fingerprint256 === peer.authority)) return "foreignAuthority";
  return undefined;
}

/** The one `coffer:ROLE:NAME` among the alternative names, as Node prints them. */
function identityOf(subjectAltName: string | undefined): { role: PeerRole; name: string } {
  const text = subjectAltName ?? "";
  // Node quotes a name that holds its own separators; no name of ours does, so nobody can hide one inside another.
  if (text.includes('"')) throw new Refused("badIdentity");
  const uris = text.split(", ").filter((entry) => /^URI:coffer:/i.test(entry));
  if (uris.length === 0) throw new Refused("noIdentity");
  if (uris.length > 1) throw new Refused("manyIdentities");
  const [, , role, name, ...rest] = (uris[0] ?? "").split(":");
  if (name === undefined || rest.length > 0 || !isName(name)) throw new Refused("badIdentity");
  if (role !== "device" && role !== "client") throw new Refused("wrongRole");
  return { role, name };
}
