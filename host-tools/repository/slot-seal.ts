// SPDX-License-Identifier: MIT
/**
 * Seals a master key to the public keys of slots, so that keys can be changed without asking for anybody's passphrase.
 *
 *   shared = X25519(ephemeral private key, slot's public key)
 *   key    = HKDF-SHA-256(shared, salt = repository id, info = "coffer slot 1" | ephemeral public key | slot's public key)
 *   sealed = AES-256-GCM(key, nonce 0, additional = binding, master)
 *
 * Every statement has a fresh ephemeral pair, so a key encrypts once. docs/repository.md "Key statements".
 */

import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import { KEY_BYTES } from "./repository-keys";

export const SLOT_KEY_BYTES = 32;
/** A master key as it is sealed to a slot, or in a link. */
export const WRAPPED_BYTES = KEY_BYTES + 16;
const NONCE = Buffer.alloc(12);

/** Both raw, 32 bytes. */
export interface SlotPair {
  publicKey: Uint8Array;
  privateKey: Uint8Array;
}

export function makeSlotPair(): SlotPair {
  const { privateKey } = generateKeyPairSync("x25519");
  const { x = "", d = "" } = privateKey.export({ format: "jwk" });
  return { publicKey: Buffer.from(x, "base64url"), privateKey: Buffer.from(d, "base64url") };
}

export interface SealContext {
  repositoryId: Uint8Array;
  binding: Uint8Array;
}

export function sealToSlot(
  ephemeral: SlotPair,
  slotKey: Uint8Array,
  master: Uint8Array,
  context: SealContext,
): Uint8Array {
  const key = agree(ephemeral, slotKey, [ephemeral.publicKey, slotKey], context.repositoryId);
  return wrap(key, context.binding, master);
}

/** Throws DataError unless it was sealed to this slot. */
export function openFromSlot(
  slot: SlotPair,
  ephemeralKey: Uint8Array,
  sealed: Uint8Array,
  context: SealContext,
): Uint8Array {
  const key = agree(slot, ephemeralKey, [ephemeralKey, slot.publicKey], context.repositoryId);
  const master = unwrap(key, context.binding, sealed);
  if (!master) throw new DataError("forged", "the keys are not sealed to this slot");
  return master;
}

/** `key` is used for this one encryption. */
export function wrap(key: Uint8Array, binding: Uint8Array, secret: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", key, NONCE);
  cipher.setAAD(binding);
  return Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
}

/** undefined when the key or the binding is another. */
export function unwrap(key: Uint8Array, binding: Uint8Array, wrapped: Uint8Array): Buffer | undefined {
  const decipher = createDecipheriv("aes-256-gcm", key, NONCE);
  decipher.setAAD(binding);
  decipher.setAuthTag(wrapped.subarray(wrapped.length - 16));
  const secret = decipher.update(wrapped.subarray(0, wrapped.length - 16));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return secret;
}

function agree(
  own: SlotPair,
  other: Uint8Array,
  publicKeys: readonly Uint8Array[],
  repositoryId: Uint8Array,
): Buffer {
  const jwk = { kty: "OKP", crv: "X25519" };
  const privateKey = createPrivateKey({
    key: { ...jwk, x: text(own.publicKey), d: text(own.privateKey) },
    format: "jwk",
  });
  let shared: Buffer;
  try {
    const publicKey = createPublicKey({ key: { ...jwk, x: text(other) }, format: "jwk" });
    shared = diffieHellman({ privateKey, publicKey });
  } catch (error) {
    // A point of small order: OpenSSL refuses an all-zero secret.
    throw new DataError("forged", `no key agreement: ${(error as Error).message}`);
  }
  const info = Buffer.concat([Buffer.from("coffer slot 1", "latin1"), ...publicKeys]);
  return Buffer.from(hkdfSync("sha256", shared, repositoryId, info, KEY_BYTES));
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}
