// SPDX-License-Identifier: MIT
/** How people and programs recognise a relay's certificate. */
import { createHash } from "node:crypto";

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/** SHA-256 of a certificate's DER. */
export function fingerprintOf(certificateDer: Uint8Array): Uint8Array {
  return createHash("sha256").update(certificateDer).digest();
}

/**
 * The short authentication string: the first 80 bits of a fingerprint as 16 characters of base32 (RFC 4648, lower
 * case) in 4 groups, "k3qf-7x2a-mzte-w4pd". For reading aloud: to make another certificate with the same string
 * takes 2^80 tries, which is enough to notice a stranger but is never what a connection is trusted for.
 */
export function shortAuthenticationString(fingerprint: Uint8Array): string {
  const groups: string[] = [];
  // 20 bits a group: read as one number from the 2.5 bytes where it lies.
  for (let bit = 0; bit < 80; bit += 20) {
    let group = "";
    for (let at = bit; at < bit + 20; at += 5) {
      const pair = ((fingerprint[at >> 3] ?? 0) << 8) | (fingerprint[(at >> 3) + 1] ?? 0);
      group += BASE32[(pair >> (11 - (at & 7))) & 31] ?? "";
    }
    groups.push(group);
  }
  return groups.join("-");
}
