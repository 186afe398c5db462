// SPDX-License-Identifier: MIT
/**
 * A golden repository in one JSON file: what devices hold, the secrets that open it, and what a reader has to find. Written
 * once by make-golden.ts and never again, so that every later Coffer proves that it still reads what this one wrote.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KeySecret } from "../key-secret";
import { MemoryDevice } from "../testing/memory-device";
import type { ExpectedTree } from "./expected-tree";

/** `value`: the passphrase, the recovery code, or the keyfile's bytes in hexadecimal. */
export interface GoldenSecret {
  kind: "passphrase" | "recovery" | "keyfile";
  value: string;
}

export interface Expected {
  /** All of them, also what was forgotten, until a checkpoint leaves it out; its tree need not be there any more. */
  versions: { id: string; isForgotten: boolean; tree: ExpectedTree }[];
  /** Ids of versions by their names. */
  tags: Record<string, string>;
  present: ExpectedTree;
  /** What those knew who wrote the entries that nobody has seen; one, and the same as `present`, when all was settled. */
  heads: ExpectedTree[];
  condemnedPacks: number;
  droppedPacks: string[];
  lostPacks: { device: string; pack: string }[];
}

export interface Fixture {
  about: string;
  secrets: GoldenSecret[];
  /** Those that were taken out of the key log, with everything that was written since. */
  removedSecrets: GoldenSecret[];
  expected: Expected;
  /** By name: the logs' entries, and of blobs which bytes are under which id. They differ when a device has rotten. */
  devices: {
    name: string;
    logs: Record<string, string[]>;
    /** Where the entries of trimmed logs begin: a sequence, and the hash of the entry before it. */
    begins?: Record<string, { count: number; head: string }>;
    blobs: Record<string, string>;
  }[];
  /** By their own SHA-256. */
  blobs: Record<string, string>;
}

const folder = join(import.meta.dirname, "fixtures");
const pathOf = (name: string): string => join(folder, `${name}.json`);

export const fixtureNames = (): string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -5));

export const hasFixture = (name: string): boolean => existsSync(pathOf(name));

export const loadFixture = (name: string): Fixture =>
  JSON.parse(readFileSync(pathOf(name), "utf8")) as Fixture;

export function saveFixture(
  name: string,
  fixture: Omit<Fixture, "devices" | "blobs">,
  devices: readonly MemoryDevice[],
): void {
  const blobs: Fixture["blobs"] = {};
  const keep = (bytes: Buffer): string => {
    const name = createHash("sha256").update(bytes).digest("hex");
    blobs[name] = bytes.toString("base64");
    return name;
  };
  const held = devices.map((device) => ({
    name: device.name,
    ...heldLogs(device),
    blobs: Object.fromEntries([...device.blobs].map(([id, bytes]) => [id, keep(bytes)])),
  }));
  const text = JSON.stringify({ ...fixture, devices: held, blobs }, undefined, 1);
  writeFileSync(pathOf(name), `${text}\n`, { flag: "wx" });
}

/** Of logs that were trimmed only what a reader gets. */
function heldLogs({ logs }: MemoryDevice): Pick<Fixture["devices"][number], "logs" | "begins"> {
  const held: Fixture["devices"][number]["logs"] = {};
  const begins: NonNullable<Fixture["devices"][number]["begins"]> = {};
  for (const [id, { entries, start, first = 0 }] of logs) {
    const trimmed = entries.slice(0, first - (start?.count ?? 0));
    held[id] = entries.slice(trimmed.length).map((entry) => Buffer.from(entry).toString("base64"));
    const head = trimmed.reduce<Uint8Array>(hashOf, start?.head ?? Buffer.alloc(32));
    if (first > 0) begins[id] = { count: first, head: Buffer.from(head).toString("hex") };
  }
  return Object.keys(begins).length > 0 ? { logs: held, begins } : { logs: held };
}

const hashOf = (before: Uint8Array, entry: Uint8Array): Uint8Array =>
  createHash("sha256").update(before).update(entry).digest();

/** Devices of their own for whoever asks. */
export function devicesOf(fixture: Fixture): MemoryDevice[] {
  return fixture.devices.map(({ name, logs, begins, blobs }) => {
    const device = new MemoryDevice({ name, preferredBlobBytes: 1024 * 1024 });
    for (const [id, of] of Object.entries(blobs))
      device.blobs.set(id, Buffer.from(fixture.blobs[of] ?? "", "base64"));
    for (const [id, entries] of Object.entries(logs)) {
      const { count: first = 0, head = "" } = begins?.[id] ?? {};
      device.logs.set(id, {
        id: Buffer.from(id, "hex"),
        entries: entries.map((entry) => Buffer.from(entry, "base64")),
        ...(first > 0 && { start: { count: first, head: Buffer.from(head, "hex") }, first }),
      });
    }
    return device;
  });
}

export function keySecretOf({ kind, value }: GoldenSecret): KeySecret {
  return kind === "keyfile" ? { kind, bytes: Buffer.from(value, "hex") } : value;
}
