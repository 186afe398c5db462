// SPDX-License-Identifier: MIT
/**
 * What this computer keeps of a repository: repository.json (0600, replaced whole), with the newest key statement, the
 * links to older keys and this computer's signing key, sealed. Nothing in it opens anything without a slot's secret. docs/repository.md "On the
 * computer".
 */

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
} from "node:crypto";
import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { readIfPresent, writePrivateFile } from "../private-files";
import { Refusal } from "../refusal";
import { State } from "../state";
import { type KeyLink, type KeyStatement, decodeLink, decodeStatement } from "./key-statement";
import { MAX_EPOCHS, REPOSITORY_ID_BYTES, type RepositoryKeys, WRITER_ID_BYTES } from "./repository-keys";

const FILE_VERSION = 1;
const SALT_BYTES = 16;
const TAG_BYTES = 16;
const NONCE = Buffer.alloc(12);

export interface KeyFile {
  repositoryId: Uint8Array;
  statement: KeyStatement;
  /** One for each epoch but the first. */
  links: readonly KeyLink[];
  /** Absent on a computer that has not written yet. */
  writer: SealedWriter | undefined;
}

/** This computer's signing key, sealed under the keys of an epoch. */
export interface SealedWriter {
  id: Uint8Array;
  epoch: number;
  sealedKey: Uint8Array;
}

export function repositoryFolder(home: string): string {
  return new State(home).repositoryFolder;
}

function keyFilePath(home: string): string {
  return join(repositoryFolder(home), "repository.json");
}

export async function saveKeyFile(
  home: string,
  file: KeyFile,
  options: { exclusive?: boolean } = {},
): Promise<void> {
  const json = {
    version: FILE_VERSION,
    repositoryId: hex(file.repositoryId),
    statement: hex(file.statement.bytes),
    links: file.links.map((link) => hex(link.bytes)),
    ...(file.writer
      ? { writer: { ...file.writer, id: hex(file.writer.id), sealedKey: hex(file.writer.sealedKey) } }
      : {}),
  };
  await writePrivateFile(keyFilePath(home), `${JSON.stringify(json, undefined, 2)}\n`, options);
}

/** What another computer needs of it: all but who writes here. undefined when this computer has no repository. */
export async function exportKeyFile(home: string): Promise<string | undefined> {
  if (!(await loadKeyFile(home))) return undefined;
  const text = (await readIfPresent(keyFilePath(home))) ?? "{}";
  const { writer: _, ...shared } = JSON.parse(text) as Record<string, unknown>;
  return JSON.stringify(shared);
}

/** Takes over what `exportKeyFile` gave, and refuses what does not load. */
export async function importKeyFile(home: string, text: string): Promise<void> {
  await writePrivateFile(keyFilePath(home), text, { exclusive: true });
  await loadKeyFile(home);
}

/** undefined when this computer has no repository. */
export async function loadKeyFile(home: string): Promise<KeyFile | undefined> {
  const path = keyFilePath(home);
  const text = await readIfPresent(path);
  if (text === undefined) return undefined;
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
    if (typeof value["version"] === "number" && value["version"] > FILE_VERSION)
      throw new Refusal("newerVersion", `${path} was written by a newer Coffer`, {
        hint: "Update Coffer on this computer.",
      });
    const repositoryId = fromHex(value["repositoryId"], REPOSITORY_ID_BYTES);
    const links = value["links"];
    if (!Array.isArray(links) || links.length >= MAX_EPOCHS) throw new Error("no links to older keys");
    const writer = value["writer"] as Record<string, unknown> | undefined;
    return {
      repositoryId,
      statement: decodeStatement(fromHex(value["statement"]), repositoryId),
      links: links.map((link) => decodeLink(fromHex(link), repositoryId)),
      writer: writer && {
        id: fromHex(writer["id"], WRITER_ID_BYTES),
        epoch: Number(writer["epoch"]),
        sealedKey: fromHex(writer["sealedKey"]),
      },
    };
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw damagedKeyFile(home, error as Error);
  }
}

export function damagedKeyFile(home: string, cause: Error): Refusal {
  return new Refusal("damagedState", `${keyFilePath(home)} cannot be used: ${cause.message}`, {
    hint: `Move it away: the passphrase alone opens the repository again from any of its devices.`,
    cause,
  });
}

/** A new identity for this computer's log. */
export function makeWriter(keys: RepositoryKeys): { writer: SealedWriter; signingKey: KeyObject } {
  const { privateKey } = generateKeyPairSync("ed25519");
  return { writer: sealWriter(keys, randomBytes(WRITER_ID_BYTES), privateKey), signingKey: privateKey };
}

/** Sealed under the newest keys. */
export function sealWriter(keys: RepositoryKeys, id: Uint8Array, signingKey: KeyObject): SealedWriter {
  const { epoch } = keys;
  const salt = randomBytes(SALT_BYTES);
  const cipher = createCipheriv("aes-256-gcm", writerKey(keys, epoch, salt), NONCE);
  cipher.setAAD(writerBinding(keys, id));
  const plaintext = signingKey.export({ format: "der", type: "pkcs8" });
  const sealedKey = Buffer.concat([salt, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  plaintext.fill(0);
  return { id, epoch, sealedKey };
}

export function openWriter(keys: RepositoryKeys, writer: SealedWriter): KeyObject {
  const { id, epoch, sealedKey } = writer;
  try {
    const decipher = createDecipheriv(
      "aes-256-gcm",
      writerKey(keys, epoch, sealedKey.subarray(0, SALT_BYTES)),
      NONCE,
    );
    decipher.setAAD(writerBinding(keys, id));
    decipher.setAuthTag(sealedKey.subarray(sealedKey.length - TAG_BYTES));
    const plaintext = Buffer.concat([
      decipher.update(sealedKey.subarray(SALT_BYTES, sealedKey.length - TAG_BYTES)),
      decipher.final(),
    ]);
    return createPrivateKey({ key: plaintext, format: "der", type: "pkcs8" });
  } catch (error) {
    throw new Refusal("damagedState", "this computer's signing key in repository.json does not open", {
      hint: "Move repository.json away: the passphrase alone opens the repository again from any of its devices.",
      cause: error,
    });
  }
}

/** Fresh salt, fresh key: it seals one thing. */
function writerKey(keys: RepositoryKeys, epoch: number, salt: Uint8Array): Buffer {
  return createHmac("sha256", keys.at(epoch).writerKey).update(salt).digest();
}

function writerBinding(keys: RepositoryKeys, id: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("coffer writer 1", "latin1"), keys.repositoryId, id]);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function fromHex(value: unknown, length?: number): Uint8Array {
  if (typeof value !== "string" || !/^([0-9a-f]{2})+$/.test(value)) throw new Error("a field is missing");
  const bytes = Buffer.from(value, "hex");
  if (length !== undefined && bytes.length !== length) throw new Error("a field has another length");
  return bytes;
}
