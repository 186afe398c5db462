// SPDX-License-Identifier: MIT
/**
 * A key slot: the master key, wrapped under a key that Argon2id makes of a passphrase. The parameters and the salt are
 * stored beside it and bounded when they are read, because a device that wants to do harm could store any.
 *
 * The wrapping key is used for exactly one encryption (its salt is fresh and random), so the nonce is zero.
 * docs/repository.md "Key slots".
 */

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { ByteReader } from "../../firmware/protocol/byte-reader";
import { DataError } from "../../firmware/protocol/data-error";
import { KEY_BYTES, REPOSITORY_ID_BYTES } from "./repository-keys";

export interface KeySlot {
  memoryKiB: number;
  passes: number;
  lanes: number;
  salt: Uint8Array;
  /** The master key, encrypted, and its tag. */
  wrapped: Uint8Array;
}

const SLOT_VERSION = 1;
const SALT_BYTES = 16;
const TAG_BYTES = 16;
/** The number of this variant in RFC 9106. */
const ARGON2ID = 2;
const MAGIC = Buffer.from("CFKY", "latin1");
/** magic, version, repository, memory, passes, lanes, salt, wrapped. */
export const SLOT_BYTES = 4 + 1 + REPOSITORY_ID_BYTES + 4 + 1 + 1 + SALT_BYTES + KEY_BYTES + TAG_BYTES;
/** Slots that one repository may have; readers stop there. */
export const MAX_SLOTS = 16;

/** What this version writes. */
const present = { memoryKiB: 64 * 1024, passes: 3, lanes: 1 };
/** What any version may ask a reader to spend. */
const bounds = { memoryKiB: [8 * 1024, 1024 * 1024], passes: [1, 16], lanes: [1, 8] } as const;

export async function makeKeySlot(
  master: Uint8Array,
  repositoryId: Uint8Array,
  passphrase: string,
): Promise<KeySlot> {
  const slot: KeySlot = { ...present, salt: randomBytes(SALT_BYTES), wrapped: new Uint8Array(0) };
  const key = await stretch(slot, passphrase);
  const cipher = createCipheriv("aes-256-gcm", key, new Uint8Array(12));
  cipher.setAAD(slotHeader(slot, repositoryId));
  slot.wrapped = Buffer.concat([cipher.update(master), cipher.final(), cipher.getAuthTag()]);
  key.fill(0);
  return slot;
}

/** The master key, or undefined when this passphrase does not open the slot. */
export async function openKeySlot(
  slot: KeySlot,
  repositoryId: Uint8Array,
  passphrase: string,
): Promise<Uint8Array | undefined> {
  const key = await stretch(slot, passphrase);
  const decipher = createDecipheriv("aes-256-gcm", key, new Uint8Array(12));
  decipher.setAAD(slotHeader(slot, repositoryId));
  decipher.setAuthTag(slot.wrapped.subarray(KEY_BYTES));
  key.fill(0);
  const master = decipher.update(slot.wrapped.subarray(0, KEY_BYTES));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return master;
}

export function encodeKeySlot(slot: KeySlot, repositoryId: Uint8Array): Uint8Array {
  return Buffer.concat([slotHeader(slot, repositoryId), slot.wrapped]);
}

/** Throws DataError for anything but a slot of `repositoryId` within the bounds. */
export function decodeKeySlot(bytes: Uint8Array, repositoryId: Uint8Array): KeySlot {
  const reader = new ByteReader(bytes);
  expectBytes(reader, MAGIC, "key slot");
  const version = reader.u8();
  if (version !== SLOT_VERSION) throw new DataError("version", `key slot of version ${String(version)}`);
  expectBytes(reader, repositoryId, "key slot of this repository");
  const slot = {
    memoryKiB: reader.u32(),
    passes: reader.u8(),
    lanes: reader.u8(),
    salt: reader.take(SALT_BYTES).slice(),
    wrapped: reader.take(KEY_BYTES + TAG_BYTES).slice(),
  };
  reader.end();
  for (const name of ["memoryKiB", "passes", "lanes"] as const) {
    const [least, most] = bounds[name];
    if (slot[name] < least || slot[name] > most)
      throw new DataError(
        "range",
        `key slot: ${name} ${String(slot[name])} outside ${String(least)}..${String(most)}`,
      );
  }
  return slot;
}

function slotHeader(slot: KeySlot, repositoryId: Uint8Array): Uint8Array {
  const numbers = Buffer.alloc(6);
  numbers.writeUInt32BE(slot.memoryKiB, 0);
  numbers[4] = slot.passes;
  numbers[5] = slot.lanes;
  return Buffer.concat([MAGIC, Uint8Array.of(SLOT_VERSION), repositoryId, numbers, slot.salt]);
}

async function stretch(slot: KeySlot, passphrase: string): Promise<Buffer> {
  // Loaded when needed: commands that open no repository do not pay for a native module.
  const { hashRaw } = await import("@node-rs/argon2");
  return hashRaw(passphrase.normalize("NFC"), {
    // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- an ambient const enum has no value here
    algorithm: ARGON2ID,
    memoryCost: slot.memoryKiB,
    timeCost: slot.passes,
    parallelism: slot.lanes,
    outputLen: KEY_BYTES,
    salt: slot.salt,
  });
}

function expectBytes(reader: ByteReader, expected: Uint8Array, what: string): void {
  if (Buffer.compare(reader.take(expected.length), expected) !== 0)
    throw new DataError("checksum", `this is no ${what}`);
}
