// SPDX-License-Identifier: MIT
/**
 * What a person carries from one computer to the other: where the first one listens, and a secret of 128 bits, as
 * letters and digits that are hard to take for one another. docs/security.md "A second computer".
 *
 *   u8 4 | 4 bytes IPv4 or u8 6 | 16 bytes IPv6, then u16 port | 16 bytes secret | 2 bytes checksum
 *
 * in Crockford's base 32 (no I, L, O, U), in groups of five: eight groups for IPv4. The checksum, the first bytes of a
 * SHA-256 of the rest, only tells a typing error from a wrong code.
 */

import { createHash } from "node:crypto";
import { isIPv4 } from "node:net";
import { Refusal } from "../refusal";
import type { RelayAddress } from "../state";

export const SECRET_BYTES = 16;
const CHECKSUM_BYTES = 2;
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const GROUP = 5;
/** A code of an IPv6 address has 60 characters; the rest are dashes and blanks. */
const MAX_TEXT = 200;

export interface JoinCode {
  /** `host` is numeric. */
  address: RelayAddress;
  secret: Uint8Array;
}

export function encodeJoinCode({ address, secret }: JoinCode): string {
  const { host, port } = address;
  const place = isIPv4(host) ? [4, ...host.split(".").map(Number)] : [6, ...ipv6Bytes(host)];
  const body = Buffer.from([...place, port >> 8, port & 255, ...secret]);
  const bytes = Buffer.concat([body, checksum(body)]);
  let text = "";
  let [bits, held] = [0, 0];
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xfff;
    for (held += 8; held >= 5; held -= 5) text += ALPHABET[(bits >> (held - 5)) & 31] ?? "";
  }
  if (held > 0) text += ALPHABET[(bits << (5 - held)) & 31] ?? "";
  return (text.match(new RegExp(`.{1,${String(GROUP)}}`, "g")) ?? []).join("-");
}

/** Refuses with `usage` what was not typed as it was shown. */
export function decodeJoinCode(text: string): JoinCode {
  const letters = text.slice(0, MAX_TEXT).toUpperCase().replaceAll(/[\s-]/g, "");
  const plain = letters.replaceAll("O", "0").replaceAll(/[IL]/g, "1");
  const bytes: number[] = [];
  let [bits, held] = [0, 0];
  for (const letter of plain) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) throw mistyped(`it has a ${JSON.stringify(letter)}, which no code has`);
    bits = ((bits << 5) | value) & 0xfff;
    held += 5;
    if (held >= 8) {
      held -= 8;
      bytes.push((bits >> held) & 255);
    }
  }
  const addressBytes = bytes[0] === 6 ? 16 : 4;
  const length = 1 + addressBytes + 2 + SECRET_BYTES + CHECKSUM_BYTES;
  const all = Buffer.from(bytes);
  const isWhole = all.length === length && plain.length === Math.ceil((length * 8) / 5);
  if (!isWhole) throw mistyped("it is not as long as a code is");
  const body = all.subarray(0, length - CHECKSUM_BYTES);
  if (!checksum(body).equals(all.subarray(length - CHECKSUM_BYTES)) || (body[0] !== 4 && body[0] !== 6))
    throw mistyped("a letter or digit is wrong");
  const host = addressBytes === 4 ? [...body.subarray(1, 5)].join(".") : ipv6Text(body.subarray(1, 17));
  const port = body.readUInt16BE(1 + addressBytes);
  if (port === 0) throw mistyped("a letter or digit is wrong");
  return { address: { host, port }, secret: Uint8Array.from(body.subarray(3 + addressBytes)) };
}

function mistyped(why: string): Refusal {
  return new Refusal("usage", `the code was not typed as it was shown: ${why}`, {
    hint: "Compare it with what `coffer client add` shows on the other computer.",
  });
}

function checksum(body: Uint8Array): Buffer {
  return createHash("sha256").update("coffer join code 1").update(body).digest().subarray(0, CHECKSUM_BYTES);
}

function ipv6Bytes(host: string): number[] {
  const full = new URL(`http://[${host}]/`).hostname.slice(1, -1);
  const [head = "", tail] = full.split("::");
  const words = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16));
  const [first, last] = [words(head), words(tail ?? "")];
  const middle = Array.from({ length: 8 - first.length - last.length }, () => 0);
  return [...first, ...middle, ...last].flatMap((word) => [word >> 8, word & 255]);
}

function ipv6Text(bytes: Buffer): string {
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(":");
  return new URL(`http://[${words}]/`).hostname.slice(1, -1);
}
