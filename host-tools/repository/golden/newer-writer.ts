// SPDX-License-Identifier: MIT
/**
 * Writes on in a repository as a newer Coffer might: everything is sealed and signed as docs/repository.md says, and one
 * structure has a version that nobody knows yet. From the document alone, as the second reader is.
 */

import { createCipheriv, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { encode } from "cborg";
import type { MemoryDevice } from "../testing/memory-device";
import type { GoldenSecret } from "./fixture";
import { contentsOf, secretOf } from "./readings";
import { hex, hmac, join, sha256, u16, u32, u64 } from "./second-reader-bytes";
import { type Keys, openKeys } from "./second-reader-keys";
import { readLogs } from "./second-reader-log";
import { chunkKind } from "./second-reader-store";

/** What is written with another version than today's, or, of a chunk, another encoding. */
export type Newer = "entry" | "body" | "detail" | "operation" | "folder" | "chunk" | "pack" | "index blob";

const seal = (key: Buffer, additional: Buffer, plaintext: Uint8Array): Buffer => {
  const cipher = createCipheriv("aes-256-gcm", key, Buffer.alloc(12)).setAAD(additional);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
};

/** Of an index: the key of the encryption comes from the plaintext. */
const sealWhole = (key: Buffer, binding: Buffer, plaintext: Buffer): Buffer => {
  const tag = hmac(key, Buffer.of(0), binding, plaintext);
  return join(tag, seal(hmac(key, Buffer.of(1), tag), binding, plaintext));
};

/** One entry of a new writer, whose root is an empty folder that is written out: `[1, []]`. */
export async function writeNewer(device: MemoryDevice, secret: GoldenSecret, newer?: Newer): Promise<void> {
  await writeEntry(device, secret, (add) => add([newer === "folder" ? 2 : 1, []]), newer);
}

/** As it must not be: the root holds a folder, `broken`, whose list of entries is none. */
export async function writeUndecodable(device: MemoryDevice, secret: GoldenSecret): Promise<void> {
  await writeEntry(device, secret, (add) => {
    const broken = [Buffer.from("broken"), 1, 0o755, 0, 0, 0, 0, add([1, 7])];
    return add([1, [broken]]);
  });
}

async function writeEntry(
  device: MemoryDevice,
  secret: GoldenSecret,
  makeRoot: (add: (folder: unknown) => Buffer) => Buffer,
  newer?: Newer,
): Promise<void> {
  const keys = await openKeys([contentsOf(device)], secretOf(secret));
  const version = (what: Newer): number => (what === newer ? 2 : 1);
  const chunks: { id: Buffer; sealed: Buffer }[] = [];
  const rootId = makeRoot((folder) => {
    const plaintext = encode(folder);
    const id = hmac(keys.key(`chunk id ${chunkKind.tree}`, 0), plaintext);
    chunks.push({ id, sealed: sealChunk(keys, id, plaintext, newer === "chunk" ? 2 : 0) });
    return id;
  });
  const list = join(
    u32(chunks.length),
    ...chunks.flatMap(({ id, sealed }) => [id, chunkKind.tree, u32(sealed.length)]),
  );
  const pack = makePack(keys, join(...chunks.map(({ sealed }) => sealed)), list, version("pack"));
  const index = join(u32(1), sha256(pack), 1, u32(pack.length), u32(1), list);
  const sealedIndex = sealWhole(keys.key("index", 0), join("coffer index 1", keys.repositoryId), index);
  const indexBlob = join("CFIX", version("index blob"), u16(0), sealedIndex);
  for (const blob of [pack, indexBlob]) device.blobs.set(hex(sha256(blob)), blob);
  const root = encode([Buffer.alloc(0), 1, 0o755, 0, 0, 0, chunks.length - 1, rootId]);
  const operation = { op: newer === "operation" ? "sparkle" : "mkdir", path: [Buffer.from("x")], node: root };
  const detail = encode({ v: version("detail"), seen: seenBy(device, keys), ops: [operation] });
  appendEntry(device, keys, version("entry"), {
    v: version("body"),
    lamport: 1000,
    time: Date.now(),
    root,
    index: [sha256(indexBlob)],
    detail,
    devices: [device.name],
    name: "newer",
  });
}

function sealChunk(keys: Keys, id: Buffer, plaintext: Uint8Array, encoding: number): Buffer {
  const additional = join("coffer chunk 1", keys.repositoryId, chunkKind.tree, encoding, id);
  const key = hmac(keys.key("chunk key", 0), join(chunkKind.tree, encoding, id));
  return join(encoding, seal(key, additional, plaintext), u16(0));
}

function makePack(keys: Keys, chunks: Buffer, list: Buffer, version: number): Buffer {
  const binding = join("coffer pack 1", keys.repositoryId, 1);
  const index = sealWhole(keys.key("pack index", 0), binding, join(list, u32(0)));
  return join("CFPK", version, 1, u16(0), chunks, index, u32(index.length), "CFPE");
}

function seenBy(device: MemoryDevice, keys: Keys): [Buffer, number, Buffer][] {
  const lasts = new Map(readLogs([contentsOf(device)], keys).entries.map((entry) => [entry.writer, entry]));
  return [...lasts.values()].map(({ writer, sequence, hash }) => [
    Buffer.from(writer, "hex"),
    sequence + 1,
    hash,
  ]);
}

function appendEntry(
  device: MemoryDevice,
  keys: Keys,
  version: number,
  fields: Record<string, unknown>,
): void {
  const pair = generateKeyPairSync("ed25519");
  const key = Buffer.from(pair.publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  const [writer, salt] = [randomBytes(16), randomBytes(16)];
  const place = join("coffer entry 1", keys.repositoryId, writer, u64(0), Buffer.alloc(32));
  const body = encode({ ...fields, key });
  const plaintext = join(u16(body.length), body, sign(null, join(place, body), pair.privateKey));
  const sealed = seal(hmac(keys.key("entry", 0), place, salt), place, plaintext);
  const id = join(writer, hmac(keys.key("log id", 0), writer).subarray(0, 16));
  device.logs.set(hex(id), { id, entries: [join(version, u16(0), salt, sealed)] });
}
