// SPDX-License-Identifier: MIT
/**
 * Which certificates the device authority has taken back: its CRL (RFC 5280 section 5), read here instead of by
 * OpenSSL for three reasons. A resumed TLS session skips OpenSSL's check; connections that are open when the list
 * changes must be found; and a revoked client is told so instead of losing its connection without a word.
 */
import { type X509Certificate, verify } from "node:crypto";
import { DataError } from "../firmware/protocol/data-error";
import { DerTag, type DerValue, readDer } from "./der";

/** Certificates one list can name; a list twice as long would be 8 MiB. */
const MAX_REVOKED = 100_000;

/** The key under which a certificate is looked up: serials are unique for one authority only. */
export function revocationKey(authority: X509Certificate, serial: string): string {
  return `${authority.fingerprint256} ${serial.replace(/^0+/, "").toUpperCase()}`;
}

/** Reads every list in `pem`. Throws when one is damaged or not signed by one of `authorities`. */
export function readRevocations(pem: string, authorities: readonly X509Certificate[]): ReadonlySet<string> {
  const revoked = new Set<string>();
  const blocks = [...pem.matchAll(/-----BEGIN X509 CRL-----([\s\S]*?)-----END X509 CRL-----/g)];
  if (blocks.length === 0) throw new Error("holds no X509 CRL");
  for (const [, body] of blocks) readList(Buffer.from(body ?? "", "base64"), authorities, revoked);
  return revoked;
}

function readList(der: Uint8Array, authorities: readonly X509Certificate[], revoked: Set<string>): void {
  const [list] = readDer(der, 1);
  const [signed, algorithm, signature] = readDer(sequence(list), 3);
  if (!signed || !algorithm || signature?.tag !== DerTag.bitString) throw new DataError("type", "CRL: shape");
  // The first byte of a BIT STRING counts unused bits. Every Coffer authority signs with SHA-256.
  const bits = signature.content.subarray(1);
  const authority = authorities.find(({ publicKey }) => verify("sha256", signed.whole, publicKey, bits));
  if (!authority) throw new DataError("forged", "CRL: not signed by the device authority");
  // version?, algorithm, issuer, thisUpdate, nextUpdate?, revoked?, extensions?: the only sequence after a time is it.
  const fields = readDer(sequence(signed), 8);
  const lastTime = fields.findLastIndex(
    ({ tag }) => tag === DerTag.utcTime || tag === DerTag.generalizedTime,
  );
  const entries = fields[lastTime + 1];
  if (lastTime < 0) throw new DataError("type", "CRL: no date");
  if (entries?.tag !== DerTag.sequence) return;
  for (const entry of readDer(entries.content, MAX_REVOKED)) {
    const [serial] = readDer(sequence(entry), 3);
    if (serial?.tag !== DerTag.integer) throw new DataError("type", "CRL: entry without a serial");
    revoked.add(revocationKey(authority, Buffer.from(serial.content).toString("hex")));
  }
}

function sequence(value: DerValue | undefined): Uint8Array {
  if (value?.tag !== DerTag.sequence) throw new DataError("type", "CRL: expected a sequence");
  return value.content;
}
