// SPDX-License-Identifier: MIT
/**
 * A key slot: an X25519 pair whose private key is wrapped under what a person has (a passphrase, a keyfile, a recovery
 * code, a keychain). Master keys are sealed to the public key (key-statement.ts), so that they can be changed without
 * it. Anybody can seal something to a public key: the *anchor*, wrapped with the private key, tells the repository's
 * keys from others. Parameters and salt are stored beside it and bounded when they are read, because a device that wants to do harm
 * could store any.
 *
 * The wrapping key is used for exactly one encryption (its salt is fresh and random), so the nonce is zero.
 * docs/repository.md "Key slots".
 */

import { createHash, hkdfSync, randomBytes } from "node:crypto";
import { ByteReader } from "../../firmware/protocol/byte-reader";
import { DataError } from "../../firmware/protocol/data-error";
import { SlotKind, type SlotSecret } from "./key-secret";
import { ANCHOR_BYTES, KEY_BYTES } from "./repository-keys";
import { SLOT_KEY_BYTES, type SlotPair, makeSlotPair, unwrap, wrap } from "./slot-seal";

export interface KeySlot {
  kind: SlotKind;
  /** For people, at most MAX_LABEL_BYTES of UTF-8. Not secret. */
  label: string;
  createdAtMs: number;
  /** Of Argon2id; all zero for secrets that are random, which HKDF takes. */
  memoryKiB: number;
  passes: number;
  lanes: number;
  salt: Uint8Array;
  publicKey: Uint8Array;
  /** Private key, u16 epoch and anchor, encrypted, and the tag. */
  wrapped: Uint8Array;
}

/** The epoch in which a slot was made, and what only who has its keys knows of it. */
export interface SlotAnchor {
  epoch: number;
  mark: Uint8Array;
}

export interface OpenedSlot extends SlotPair {
  anchor: SlotAnchor;
}

export const MAX_LABEL_BYTES = 64;
const SALT_BYTES = 16;
const SECRET_BYTES = SLOT_KEY_BYTES + 2 + ANCHOR_BYTES;
const WRAPPED_SECRET_BYTES = SECRET_BYTES + 16;
/** The number of this variant in RFC 9106. */
const ARGON2ID = 2;

/** What this version writes: the second recommendation of RFC 9106. */
const present = { memoryKiB: 64 * 1024, passes: 3, lanes: 4 };
/** What any version may ask a reader to spend. */
const bounds = { memoryKiB: [8 * 1024, 1024 * 1024], passes: [1, 16], lanes: [1, 8] } as const;

export interface SlotOptions {
  secret: SlotSecret;
  label: string;
  repositoryId: Uint8Array;
  createdAtMs: number;
  anchor: SlotAnchor;
  /** Other than the present ones in tests only. */
  parameters?: { memoryKiB: number; passes: number; lanes: number };
}

export async function makeKeySlot(options: SlotOptions): Promise<{ slot: KeySlot; opened: OpenedSlot }> {
  const { secret, label, repositoryId, createdAtMs, anchor, parameters = present } = options;
  if (Buffer.byteLength(label) > MAX_LABEL_BYTES) throw new RangeError("label: too long");
  const pair = makeSlotPair();
  const slot: KeySlot = {
    kind: secret.kind,
    label,
    createdAtMs,
    ...(secret.kind === SlotKind.passphrase ? parameters : { memoryKiB: 0, passes: 0, lanes: 0 }),
    salt: randomBytes(SALT_BYTES),
    publicKey: pair.publicKey,
    wrapped: new Uint8Array(WRAPPED_SECRET_BYTES),
  };
  const key = await stretch(slot, secret, repositoryId);
  const inside = Buffer.concat([
    pair.privateKey,
    Uint8Array.of(anchor.epoch >> 8, anchor.epoch & 0xff),
    anchor.mark,
  ]);
  slot.wrapped = wrap(key, slotBinding(slot, repositoryId), inside);
  inside.fill(0);
  key.fill(0);
  return { slot, opened: { ...pair, anchor } };
}

/** The slot's keys, or undefined when this secret does not open it. */
export async function openKeySlot(
  slot: KeySlot,
  secret: SlotSecret,
  repositoryId: Uint8Array,
): Promise<OpenedSlot | undefined> {
  if (slot.kind !== secret.kind) return undefined;
  const key = await stretch(slot, secret, repositoryId);
  const inside = unwrap(key, slotBinding(slot, repositoryId), slot.wrapped);
  key.fill(0);
  return (
    inside && {
      publicKey: slot.publicKey,
      privateKey: inside.subarray(0, SLOT_KEY_BYTES),
      anchor: { epoch: inside.readUInt16BE(SLOT_KEY_BYTES), mark: inside.subarray(SLOT_KEY_BYTES + 2) },
    }
  );
}

/** Whether a slot made now would cost a guesser more. */
export function isWeak({ kind, memoryKiB, passes }: KeySlot): boolean {
  return kind === SlotKind.passphrase && (memoryKiB < present.memoryKiB || passes < present.passes);
}

/** 16 hexadecimal digits. */
export function slotId(slot: KeySlot): string {
  return createHash("sha256").update(encodeKeySlot(slot)).digest("hex").slice(0, 16);
}

/** u8 kind | u64 created | u32 memory | u8 passes | u8 lanes | salt | public key | u8 length | label | wrapped */
export function encodeKeySlot(slot: KeySlot): Uint8Array {
  return Buffer.concat([slotHeader(slot), slot.wrapped]);
}

/** Throws DataError for anything outside the bounds. */
export function readKeySlot(reader: ByteReader): KeySlot {
  const kind = reader.u8();
  if (!Object.values<number>(SlotKind).includes(kind))
    throw new DataError("type", `key slot of kind ${String(kind)}`);
  const createdAtMs = reader.u53();
  const memoryKiB = reader.u32();
  const passes = reader.u8();
  const lanes = reader.u8();
  const salt = reader.take(SALT_BYTES).slice();
  const publicKey = reader.take(SLOT_KEY_BYTES).slice();
  const labelBytes = reader.u8();
  if (labelBytes > MAX_LABEL_BYTES) throw new DataError("range", "key slot: label too long");
  const label = Buffer.from(reader.take(labelBytes)).toString("utf8");
  const wrapped = reader.take(WRAPPED_SECRET_BYTES).slice();
  const slot = {
    kind: kind as SlotKind,
    label,
    createdAtMs,
    memoryKiB,
    passes,
    lanes,
    salt,
    publicKey,
    wrapped,
  };
  for (const name of ["memoryKiB", "passes", "lanes"] as const) {
    const [least, most] = kind === SlotKind.passphrase ? bounds[name] : [0, 0];
    if (slot[name] < least || slot[name] > most)
      throw new DataError(
        "range",
        `key slot: ${name} ${String(slot[name])} outside ${String(least)}..${String(most)}`,
      );
  }
  return slot;
}

function slotHeader(slot: KeySlot): Buffer {
  const label = Buffer.from(slot.label);
  const numbers = Buffer.alloc(15);
  numbers[0] = slot.kind;
  numbers.writeBigUInt64BE(BigInt(slot.createdAtMs), 1);
  numbers.writeUInt32BE(slot.memoryKiB, 9);
  numbers[13] = slot.passes;
  numbers[14] = slot.lanes;
  return Buffer.concat([numbers, slot.salt, slot.publicKey, Uint8Array.of(label.length), label]);
}

function slotBinding(slot: KeySlot, repositoryId: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("coffer key slot 1", "latin1"), repositoryId, slotHeader(slot)]);
}

async function stretch(slot: KeySlot, secret: SlotSecret, repositoryId: Uint8Array): Promise<Buffer> {
  if (slot.kind !== SlotKind.passphrase) {
    const info = Buffer.concat([Buffer.from("coffer slot secret 1", "latin1"), repositoryId]);
    return Buffer.from(hkdfSync("sha256", secret.bytes, slot.salt, info, KEY_BYTES));
  }
  // Loaded when needed: commands that open no repository do not pay for a native module.
  const { hashRaw } = await import("@node-rs/argon2");
  return hashRaw(secret.bytes, {
    // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- an ambient const enum has no value here
    algorithm: ARGON2ID,
    memoryCost: slot.memoryKiB,
    timeCost: slot.passes,
    parallelism: slot.lanes,
    outputLen: KEY_BYTES,
    salt: slot.salt,
  });
}
