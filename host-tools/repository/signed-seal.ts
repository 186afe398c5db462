// SPDX-License-Identifier: MIT
/**
 * What a writer signs and seals for one place: log entries and checkpoints. docs/repository.md "Log entries".
 *
 *   u8 version | u16 epoch | 16 bytes of random salt | AES-256-GCM(key, nonce 0, additional, u16 length of body | body | signature) | tag
 *   key        = HMAC-SHA-256(entry key of the epoch, place | salt);  the place is the additional data, too
 *   signature  = Ed25519(writer's key, place | body)
 *
 * Two bodies for one place (a push that lost a race) differ in their salts, and even equal salts would need an equal
 * place: no key meets two plaintexts by accident or by replay.
 */

import {
  type KeyObject,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  randomBytes,
  sign,
  verify,
} from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import type { RepositoryKeys } from "./repository-keys";

const VERSION = 1;
/** Version and epoch. */
const HEADER_BYTES = 3;
const SALT_BYTES = 16;
const TAG_BYTES = 16;
const SIGNATURE_BYTES = 64;
const NONCE = Buffer.alloc(12);
/** What sealing adds to a body. */
export const SIGNED_SEAL_BYTES = HEADER_BYTES + SALT_BYTES + 2 + SIGNATURE_BYTES + TAG_BYTES;

export function sealSigned(options: {
  keys: RepositoryKeys;
  place: Uint8Array;
  signingKey: KeyObject;
  body: Uint8Array;
}): Uint8Array {
  const { keys, place, signingKey, body } = options;
  const signature = sign(null, Buffer.concat([place, body]), signingKey);
  const salt = randomBytes(SALT_BYTES);
  const cipher = createCipheriv("aes-256-gcm", sealKey(keys, keys.epoch, place, salt), NONCE);
  cipher.setAAD(place);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(body.length);
  return Buffer.concat([
    Uint8Array.of(VERSION, keys.epoch >> 8, keys.epoch & 0xff),
    salt,
    cipher.update(Buffer.concat([length, body, signature])),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
}

export interface OpenSignedOptions {
  keys: RepositoryKeys;
  place: Uint8Array;
  sealed: Uint8Array;
  /** For messages. */
  what: string;
  /** The signature was checked before, and this is read from this computer's own, authenticated memory. */
  isVerified?: boolean;
  /** Whose signature the body has to have: 32 bytes of Ed25519. Called once, with the opened body. */
  publicKeyOf: (body: Uint8Array) => Uint8Array;
}

/** Throws DataError unless it was made for this place, under the repository's keys and by that writer. */
export function openSigned(options: OpenSignedOptions): void {
  const { keys, place, sealed, what } = options;
  if (sealed.length < HEADER_BYTES + SALT_BYTES + TAG_BYTES)
    throw new DataError("short", `${what} shorter than its seal`);
  if (sealed[0] !== VERSION) throw new DataError("version", `${what} of version ${String(sealed[0])}`);
  const salt = sealed.subarray(HEADER_BYTES, HEADER_BYTES + SALT_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", sealKey(keys, sealedEpoch(sealed), place, salt), NONCE);
  decipher.setAAD(place);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plaintext = decipher.update(sealed.subarray(HEADER_BYTES + SALT_BYTES, sealed.length - TAG_BYTES));
  try {
    decipher.final();
  } catch {
    throw new DataError("forged", `${what} does not verify`);
  }
  if (plaintext.length < 2) throw new DataError("short", `${what} without a body`);
  const end = 2 + plaintext.readUInt16BE(0);
  if (plaintext.length !== end + SIGNATURE_BYTES)
    throw new DataError("short", `${what} without its signature`);
  const body = plaintext.subarray(2, end);
  const publicKey = options.publicKeyOf(body);
  if (options.isVerified === true) return;
  if (!verify(null, Buffer.concat([place, body]), importPublicKey(publicKey), plaintext.subarray(end)))
    throw new DataError("forged", `${what} with a wrong signature`);
}

/** The epoch of the keys that seal it. It may be anything until it is opened. */
export function sealedEpoch(sealed: Uint8Array): number {
  return ((sealed[1] ?? 0) << 8) | (sealed[2] ?? 0);
}

function sealKey(keys: RepositoryKeys, epoch: number, place: Uint8Array, salt: Uint8Array): Buffer {
  return createHmac("sha256", keys.at(epoch).entryKey).update(place).update(salt).digest();
}

function importPublicKey(raw: Uint8Array): KeyObject {
  return createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(raw).toString("base64url") },
    format: "jwk",
  });
}
