// SPDX-License-Identifier: MIT
/**
 * The keys of a repository for the second reader: docs/repository.md, "Keys". From the key logs of devices and one secret
 * to the master keys of all epochs.
 */

import { createPrivateKey, createPublicKey, diffieHellman, hkdfSync } from "node:crypto";
import { hashRaw } from "@node-rs/argon2";
import {
  Cursor,
  Refused,
  check,
  checkVersion,
  hex,
  hmac,
  isSame,
  join,
  openGcm,
  u16,
} from "./second-reader-bytes";

/** What a device holds: blobs by their id, logs by theirs, both in hexadecimal. */
export interface DeviceContents {
  readonly name: string;
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly logs: ReadonlyMap<string, DeviceLog>;
}

/** The entries from the sequence `first` on: those before were trimmed. */
export interface DeviceLog {
  readonly first: number;
  readonly entries: readonly Buffer[];
}

/** `bytes` are the passphrase in NFC and UTF-8, the 32 bytes of a keyfile, or the text of a recovery code. */
export interface Secret {
  readonly kind: "passphrase" | "keyfile" | "recovery" | "keychain";
  readonly bytes: Uint8Array;
}

interface Slot {
  readonly kind: number;
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
  readonly salt: Buffer;
  readonly publicKey: Buffer;
  readonly head: Buffer;
  readonly wrapped: Buffer;
  readonly sealedMaster: Buffer;
}

interface Statement {
  readonly generation: number;
  readonly epoch: number;
  readonly ephemeral: Buffer;
  readonly slots: readonly Slot[];
  readonly beforeMacs: Buffer;
  readonly formerMac: Buffer;
  readonly mac: Buffer;
}

interface Link {
  readonly epoch: number;
  readonly head: Buffer;
  readonly sealed: Buffer;
}

const slotKinds = ["passphrase", "keyfile", "recovery", "keychain"];
const wrappedBytes = 32 + 2 + 16 + 16;
const sealedMasterBytes = 32 + 16;

const isIn = (value: number, least: number, most: number): boolean => value >= least && value <= most;
const hkdf = (secret: Uint8Array, salt: Uint8Array, info: Uint8Array): Buffer =>
  Buffer.from(hkdfSync("sha256", secret, salt, info, 32));

/** The keys of all epochs from 0 to the newest. */
export class Keys {
  constructor(
    readonly repositoryId: Buffer,
    readonly masters: readonly Buffer[],
  ) {}

  key(label: string, epoch: number): Buffer {
    const master = this.masters[epoch];
    if (master === undefined) throw new Refused("damaged", `the key log does not show epoch ${epoch}`);
    return hkdf(master, this.repositoryId, Buffer.from(`coffer 1 ${label}`));
  }
}

/** Opens the newest epoch that the secret's slot leads to; refuses when that is not the newest one there is. */
export async function openKeys(devices: readonly DeviceContents[], secret: Secret): Promise<Keys> {
  const { repositoryId, entries } = findKeyLog(devices);
  const parts = entries.map((entry) => parseKeyEntry(entry, repositoryId));
  const statements = parts.filter((part): part is Statement => part !== undefined && "slots" in part);
  const links = parts.filter((part): part is Link => part !== undefined && "sealed" in part);
  statements.sort((a, b) => b.epoch - a.epoch || b.generation - a.generation);
  for (const statement of statements) {
    const opened = await openStatement(statement, links, repositoryId, secret);
    if (opened === undefined) continue;
    const { keys, slot } = opened;
    const isRemoval = (other: Statement): boolean =>
      other.epoch === statement.epoch + 1 &&
      !other.slots.some(({ publicKey }) => isSame(publicKey, slot.publicKey)) &&
      hasFormerMac(other, keys);
    if (statements.some(isRemoval)) throw new Refused("secret", "this secret was removed");
    return keys;
  }
  throw new Refused("secret", "no slot opens with this secret");
}

/** All entries of the key logs, each once. A log is recognised by its id alone. */
function findKeyLog(devices: readonly DeviceContents[]): { repositoryId: Buffer; entries: Buffer[] } {
  const entries = new Map<string, Buffer>();
  let found: Buffer | undefined;
  for (const [id, log] of devices.flatMap((device) => [...device.logs])) {
    const repositoryId = Buffer.from(id, "hex").subarray(0, 16);
    if (hex(hmac("coffer keys 1", repositoryId).subarray(0, 16)) !== id.slice(32)) continue;
    if (found !== undefined && !isSame(found, repositoryId))
      throw new Refused("damaged", "there are two repositories");
    found = repositoryId;
    for (const entry of log.entries) entries.set(hex(entry), entry);
  }
  if (found === undefined) throw new Refused("missing", "there is no key log");
  return { repositoryId: found, entries: [...entries.values()] };
}

/** Undefined for what is passed over. */
function parseKeyEntry(entry: Buffer, repositoryId: Buffer): Statement | Link | undefined {
  try {
    return parseStatementOrLink(entry, repositoryId);
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

function parseStatementOrLink(entry: Buffer, repositoryId: Buffer): Statement | Link | undefined {
  const magic = entry.toString("latin1", 0, 4);
  if (magic !== "CFKS" && magic !== "CFKL") return undefined;
  const cursor = new Cursor(entry, "an entry of the key log");
  cursor.take(4);
  checkVersion(cursor.u8(), 1, "an entry of the key log");
  check(isSame(cursor.take(16), repositoryId), "an entry of another repository's key log");
  if (magic === "CFKL") {
    return { epoch: cursor.u16(), head: entry.subarray(0, cursor.offset), sealed: cursor.rest() };
  }
  const [generation, epoch, ephemeral] = [cursor.u32(), cursor.u16(), cursor.take(32)];
  const slots = Array.from({ length: cursor.u8() }, () => parseSlot(cursor));
  check(slots.length >= 1 && slots.length <= 12, "a key statement has 1 to 12 slots");
  const beforeMacs = entry.subarray(0, cursor.offset);
  const [formerMac, mac] = [cursor.take(32), cursor.take(32)];
  cursor.end();
  return { generation, epoch, ephemeral, slots, beforeMacs, formerMac, mac };
}

function parseSlot(cursor: Cursor): Slot {
  const start = cursor.offset;
  const kind = cursor.u8();
  cursor.u64();
  const [memoryKib, passes, lanes] = [cursor.u32(), cursor.u8(), cursor.u8()];
  const [salt, publicKey] = [cursor.take(16), cursor.take(32)];
  cursor.take(cursor.u8());
  const head = cursor.bytes.subarray(start, cursor.offset);
  const [wrapped, sealedMaster] = [cursor.take(wrappedBytes), cursor.take(sealedMasterBytes)];
  return { kind, memoryKib, passes, lanes, salt, publicKey, head, wrapped, sealedMaster };
}

async function openStatement(
  statement: Statement,
  links: readonly Link[],
  repositoryId: Buffer,
  secret: Secret,
): Promise<{ keys: Keys; slot: Slot } | undefined> {
  for (const slot of statement.slots) {
    if (slotKinds[slot.kind] !== secret.kind) continue;
    const kek = await keyOfSecret(slot, repositoryId, secret);
    const opened = openGcm(kek, join("coffer key slot 1", repositoryId, slot.head), slot.wrapped);
    if (opened === undefined) continue;
    const master = openMaster(statement, slot, opened.subarray(0, 32), repositoryId);
    const keys = master && followLinks(statement.epoch, master, links, repositoryId);
    if (keys === undefined || !isGenuine(statement, keys)) continue;
    const anchor = keys.key("key anchor", opened.readUInt16BE(32)).subarray(0, 16);
    if (isSame(anchor, opened.subarray(34))) return { keys, slot };
  }
  return undefined;
}

async function keyOfSecret(slot: Slot, repositoryId: Buffer, secret: Secret): Promise<Buffer> {
  if (slot.kind !== 0) return hkdf(secret.bytes, slot.salt, join("coffer slot secret 1", repositoryId));
  const isBounded = isIn(slot.memoryKib, 8 << 10, 1 << 20);
  check(
    isBounded && isIn(slot.passes, 1, 16) && isIn(slot.lanes, 1, 8),
    "a slot asks for too much or too little work",
  );
  // Argon2id is what it does when nothing else is said.
  return await hashRaw(secret.bytes, {
    salt: slot.salt,
    memoryCost: slot.memoryKib,
    timeCost: slot.passes,
    parallelism: slot.lanes,
    outputLen: 32,
  });
}

function openMaster(
  statement: Statement,
  slot: Slot,
  privateKey: Buffer,
  repositoryId: Buffer,
): Buffer | undefined {
  const curve = { kty: "OKP", crv: "X25519" };
  const [own, ephemeral] = [slot.publicKey.toString("base64url"), statement.ephemeral.toString("base64url")];
  const shared = diffieHellman({
    privateKey: createPrivateKey({
      key: { ...curve, x: own, d: privateKey.toString("base64url") },
      format: "jwk",
    }),
    publicKey: createPublicKey({ key: { ...curve, x: ephemeral }, format: "jwk" }),
  });
  const key = hkdf(shared, repositoryId, join("coffer slot 1", statement.ephemeral, slot.publicKey));
  return openGcm(key, join("coffer key statement 1", repositoryId, u16(statement.epoch)), slot.sealedMaster);
}

/** From the master of an epoch down to epoch 0; undefined when a link is missing or leads nowhere. */
function followLinks(
  epoch: number,
  master: Buffer,
  links: readonly Link[],
  repositoryId: Buffer,
): Keys | undefined {
  const masters = [master];
  for (let at = epoch; at > 0; at--) {
    const key = hkdf(masters[0] ?? master, repositoryId, Buffer.from("coffer 1 key link"));
    const opened = links
      .filter((link) => link.epoch === at)
      .map((link) => openGcm(key, link.head, link.sealed));
    const former = opened.find((bytes) => bytes !== undefined);
    if (former === undefined) return undefined;
    masters.unshift(former);
  }
  return new Keys(repositoryId, masters);
}

function isGenuine(statement: Statement, keys: Keys): boolean {
  const key = keys.key("key statement", statement.epoch);
  return (
    isSame(hmac(key, statement.beforeMacs, statement.formerMac), statement.mac) &&
    hasFormerMac(statement, keys)
  );
}

function hasFormerMac({ epoch, beforeMacs, formerMac }: Statement, keys: Keys): boolean {
  if (epoch === 0) return isSame(formerMac, Buffer.alloc(32));
  return isSame(hmac(keys.key("key statement", epoch - 1), beforeMacs), formerMac);
}
