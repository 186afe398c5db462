// SPDX-License-Identifier: MIT
/**
 * What the key log consists of. docs/repository.md "Key statements".
 *
 *   statement   "CFKS" | u8 version | repository | u32 generation | u16 epoch | ephemeral key | u8 slots,
 *               for each: slot | master key of the epoch sealed to it
 *               then HMAC(statement key of the epoch before, everything before; 32 zero bytes in epoch 0)
 *               then HMAC(statement key of the epoch, everything before)
 *   link        "CFKL" | u8 version | repository | u16 epoch | master key of the epoch before, wrapped under the epoch's link key
 *
 * A statement names all slots. Within an epoch slots only come; to take one away begins a new epoch, whose master key
 * is sealed to the others. Only who has an epoch's master key can make a statement or a link of it; the other HMAC tells
 * those who are left out that it was one of them who did so, and not a device that made something up.
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { ByteReader } from "../../firmware/protocol/byte-reader";
import { DataError } from "../../firmware/protocol/data-error";
import { type KeySlot, encodeKeySlot, readKeySlot } from "./key-slot";
import { type EpochKeys, KEY_BYTES, MAX_EPOCHS, REPOSITORY_ID_BYTES } from "./repository-keys";
import {
  SLOT_KEY_BYTES,
  type SlotPair,
  WRAPPED_BYTES,
  makeSlotPair,
  openFromSlot,
  sealToSlot,
  unwrap,
  wrap,
} from "./slot-seal";

/** A statement with as many slots of the largest size fits an entry of a log. */
export const MAX_SLOTS = 12;
const VERSION = 1;
const MAC_BYTES = 32;
const STATEMENT_MAGIC = Buffer.from("CFKS", "latin1");
const LINK_MAGIC = Buffer.from("CFKL", "latin1");
const LINK_BYTES = 4 + 1 + REPOSITORY_ID_BYTES + 2 + WRAPPED_BYTES;

export interface KeyStatement {
  generation: number;
  epoch: number;
  slots: KeySlot[];
  /** As it is in the log. */
  bytes: Uint8Array;
  ephemeralKey: Uint8Array;
  /** For each slot. */
  sealed: Uint8Array[];
}

export interface KeyLink {
  /** Its master key opens the link; what is in it is that of the epoch before. */
  epoch: number;
  bytes: Uint8Array;
}

export interface StatementFields {
  repositoryId: Uint8Array;
  generation: number;
  epoch: number;
  slots: readonly KeySlot[];
  master: Uint8Array;
  /** Of the epoch. */
  keys: EpochKeys;
  /** Of the epoch before, if there was one. */
  previousKeys: EpochKeys | undefined;
}

export function makeStatement(fields: StatementFields): KeyStatement {
  const { repositoryId, generation, epoch, slots, master, keys, previousKeys } = fields;
  if (slots.length === 0 || slots.length > MAX_SLOTS) throw new RangeError("slots: expected 1..12");
  const ephemeral = makeSlotPair();
  const binding = statementBinding(repositoryId, epoch);
  const numbers = Buffer.alloc(7);
  numbers[0] = VERSION;
  numbers.writeUInt32BE(generation, 1);
  numbers.writeUInt16BE(epoch, 5);
  const body = Buffer.concat([
    STATEMENT_MAGIC,
    numbers.subarray(0, 1),
    repositoryId,
    numbers.subarray(1),
    ephemeral.publicKey,
    Uint8Array.of(slots.length),
    ...slots.flatMap((slot) => [
      encodeKeySlot(slot),
      sealToSlot(ephemeral, slot.publicKey, master, { repositoryId, binding }),
    ]),
  ]);
  ephemeral.privateKey.fill(0);
  const known = Buffer.concat([
    body,
    previousKeys ? statementMac(previousKeys, body) : Buffer.alloc(MAC_BYTES),
  ]);
  return decodeStatement(Buffer.concat([known, statementMac(keys, known)]), repositoryId);
}

/** Throws DataError for anything but a statement of this repository. Nothing of it is verified yet. */
export function decodeStatement(bytes: Uint8Array, repositoryId: Uint8Array): KeyStatement {
  const reader = new ByteReader(bytes);
  readHeader(reader, STATEMENT_MAGIC, repositoryId);
  const generation = reader.u32();
  const epoch = readEpoch(reader);
  const ephemeralKey = reader.take(SLOT_KEY_BYTES).slice();
  const count = reader.u8();
  if (count === 0 || count > MAX_SLOTS) throw new DataError("range", `${String(count)} key slots`);
  const slots: KeySlot[] = [];
  const sealed: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    slots.push(readKeySlot(reader));
    sealed.push(reader.take(WRAPPED_BYTES).slice());
  }
  reader.take(2 * MAC_BYTES);
  reader.end();
  return { generation, epoch, slots, bytes: Uint8Array.from(bytes), ephemeralKey, sealed };
}

/** The master key of the statement's epoch, for one of its slots. Throws DataError when it is none of them. */
export function openStatement(statement: KeyStatement, slot: SlotPair, repositoryId: Uint8Array): Uint8Array {
  const at = statement.slots.findIndex((other) => Buffer.compare(other.publicKey, slot.publicKey) === 0);
  const sealed = statement.sealed[at];
  if (!sealed) throw new DataError("forged", "the slot is not in the key statement");
  const binding = statementBinding(repositoryId, statement.epoch);
  return openFromSlot(slot, statement.ephemeralKey, sealed, { repositoryId, binding });
}

export function isStatementAuthentic({ bytes }: KeyStatement, keys: EpochKeys): boolean {
  const end = bytes.length - MAC_BYTES;
  return timingSafeEqual(statementMac(keys, bytes.subarray(0, end)), bytes.subarray(end));
}

/** Whether it was made by somebody who had the keys of the epoch before, too. */
export function isSuccessor({ bytes, epoch }: KeyStatement, previousKeys: EpochKeys): boolean {
  const end = bytes.length - 2 * MAC_BYTES;
  return (
    epoch > 0 &&
    timingSafeEqual(statementMac(previousKeys, bytes.subarray(0, end)), bytes.subarray(end, end + MAC_BYTES))
  );
}

export function makeLink(
  repositoryId: Uint8Array,
  epoch: number,
  keys: EpochKeys,
  previousMaster: Uint8Array,
): KeyLink {
  const header = linkHeader(repositoryId, epoch);
  return { epoch, bytes: Buffer.concat([header, wrap(keys.linkKey, header, previousMaster)]) };
}

export function decodeLink(bytes: Uint8Array, repositoryId: Uint8Array): KeyLink {
  if (bytes.length !== LINK_BYTES) throw new DataError("short", "key link of another length");
  const reader = new ByteReader(bytes);
  readHeader(reader, LINK_MAGIC, repositoryId);
  return { epoch: readEpoch(reader), bytes: Uint8Array.from(bytes) };
}

/** The master key of the epoch before, or undefined when the link was not made with these keys. */
export function openLink({ bytes }: KeyLink, keys: EpochKeys): Uint8Array | undefined {
  const header = bytes.subarray(0, LINK_BYTES - WRAPPED_BYTES);
  const master = unwrap(keys.linkKey, header, bytes.subarray(header.length));
  return master?.length === KEY_BYTES ? master : undefined;
}

function linkHeader(repositoryId: Uint8Array, epoch: number): Buffer {
  return Buffer.concat([
    LINK_MAGIC,
    Uint8Array.of(VERSION),
    repositoryId,
    Uint8Array.of(epoch >> 8, epoch & 0xff),
  ]);
}

function statementBinding(repositoryId: Uint8Array, epoch: number): Buffer {
  const label = Buffer.from("coffer key statement 1", "latin1");
  return Buffer.concat([label, repositoryId, Uint8Array.of(epoch >> 8, epoch & 0xff)]);
}

function statementMac(keys: EpochKeys, body: Uint8Array): Buffer {
  return createHmac("sha256", keys.statementKey).update(body).digest();
}

function readHeader(reader: ByteReader, magic: Uint8Array, repositoryId: Uint8Array): void {
  if (Buffer.compare(reader.take(magic.length), magic) !== 0)
    throw new DataError("checksum", "nothing that belongs in a key log");
  const version = reader.u8();
  if (version !== VERSION) throw new DataError("version", `key log entry of version ${String(version)}`);
  if (Buffer.compare(reader.take(REPOSITORY_ID_BYTES), repositoryId) !== 0)
    throw new DataError("checksum", "key log entry of another repository");
}

function readEpoch(reader: ByteReader): number {
  const epoch = reader.u16();
  if (epoch >= MAX_EPOCHS) throw new DataError("range", `epoch ${String(epoch)}`);
  return epoch;
}
