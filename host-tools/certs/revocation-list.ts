// SPDX-License-Identifier: MIT
/**
 * The list of what an authority has revoked (CRL v2, RFC 5280 section 5). The signed list itself is the only record:
 * adding to it means reading it, so a damaged list refuses instead of forgetting.
 *
 * It is valid as long as its authority. A list that ran out would lock every device out of a relay that nobody
 * renewed; freshness is the owner's business, who copies the file to where the relay runs.
 */

import { createPrivateKey, webcrypto } from "node:crypto";
import "reflect-metadata";
import {
  AuthorityKeyIdentifierExtension,
  Extension,
  X509Certificate,
  X509Crl,
  type X509CrlEntryParams,
  X509CrlGenerator,
  X509CrlReason,
} from "@peculiar/x509";
import { Refusal } from "../refusal";
import type { CertifiedKey } from "./certificate";

const crlNumberOid = "2.5.29.20";
const signingAlgorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
const backdateMs = 3_600_000;

/** A list with nothing revoked. PEM. */
export async function makeRevocationList(authority: CertifiedKey, now: Date): Promise<string> {
  return sign(authority, [], 1, now);
}

/** `list` with more serials (hex) revoked; those already on it keep their date. PEM. */
export async function revoke(
  list: string,
  authority: CertifiedKey,
  serials: readonly string[],
  now: Date,
): Promise<string> {
  const crl = parse(list);
  if (!(await crl.verify({ publicKey: new X509Certificate(authority.certificate) })))
    throw new Refusal("damagedState", "the list of revoked certificates was not signed by this authority", {
      hint: "Restore the crl folder from a copy of the state folder.",
    });
  const known = revokedIn(crl);
  const added = serials
    .filter((serial) => !known.has(serial))
    .map((serialNumber) => ({
      serialNumber,
      revocationDate: wholeSeconds(now),
      reason: X509CrlReason.cessationOfOperation,
    }));
  const kept = crl.entries.map(({ serialNumber, revocationDate, reason }) => ({
    serialNumber,
    revocationDate,
    ...(reason === undefined ? {} : { reason }),
  }));
  return sign(authority, [...kept, ...added], numberOf(crl) + 1, now);
}

/** The revoked serials of a list, lower-case hex. */
export function revokedSerials(list: string): Set<string> {
  return revokedIn(parse(list));
}

function parse(list: string): X509Crl {
  try {
    return new X509Crl(list);
  } catch (cause) {
    throw new Refusal("damagedState", "a list of revoked certificates cannot be read", {
      hint: "Restore the crl folder from a copy of the state folder.",
      cause,
    });
  }
}

function revokedIn(crl: X509Crl): Set<string> {
  return new Set(crl.entries.map((entry) => entry.serialNumber.toLowerCase()));
}

/** The CRL number, a DER INTEGER; relying parties use it to tell the newer of two lists. */
function numberOf(crl: X509Crl): number {
  const value = crl.extensions.find((extension) => extension.type === crlNumberOid)?.value;
  const digits = value === undefined ? "" : Buffer.from(value).subarray(2).toString("hex");
  return digits === "" ? 0 : Number.parseInt(digits, 16);
}

function crlNumber(number: number): Extension {
  const hex = number.toString(16);
  const digits = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  const positive = (digits[0] ?? 0) > 127 ? Buffer.concat([Buffer.of(0), digits]) : digits;
  return new Extension(crlNumberOid, false, Buffer.concat([Buffer.of(2, positive.length), positive]));
}

async function sign(
  authority: CertifiedKey,
  entries: readonly X509CrlEntryParams[],
  number: number,
  now: Date,
): Promise<string> {
  const certificate = new X509Certificate(authority.certificate);
  const pkcs8 = createPrivateKey(authority.key).export({ type: "pkcs8", format: "der" });
  const signingKey = await webcrypto.subtle.importKey("pkcs8", pkcs8, signingAlgorithm, false, ["sign"]);
  const crl = await X509CrlGenerator.create({
    issuer: certificate.subjectName,
    thisUpdate: wholeSeconds(new Date(now.getTime() - backdateMs)),
    nextUpdate: certificate.notAfter,
    entries: [...entries],
    extensions: [await AuthorityKeyIdentifierExtension.create(certificate.publicKey), crlNumber(number)],
    signingAlgorithm,
    signingKey,
  });
  // The library's own label is "CRL"; Node and OpenSSL want the one of RFC 7468.
  return `${crl
    .toString("pem")
    .replace(/(BEGIN|END) CRL-/g, "$1 X509 CRL-")
    .trim()}\n`;
}

function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000);
}
