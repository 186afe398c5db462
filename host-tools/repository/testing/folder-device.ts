// SPDX-License-Identifier: MIT
/** A device in a folder, for tests that kill the process: uploads grow in a file and go on where they were. */

import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Refusal } from "../../refusal";
import { LogConflict } from "../../remote/device-failure";
import type { BlobDevice, BlobDeviceStatus, LogHead, PutResult } from "../blob-device";

const PIECE_BYTES = 64 * 1024;

export class FolderDevice implements BlobDevice {
  readonly name = "folder";
  readonly #folder: string;
  readonly #pauseMs: number;
  readonly #preferredBlobBytes: number;

  /** `pauseMs` after every 64 KiB that arrive. */
  constructor(options: { folder: string; pauseMs?: number; preferredBlobBytes?: number }) {
    this.#folder = options.folder;
    this.#pauseMs = options.pauseMs ?? 0;
    this.#preferredBlobBytes = options.preferredBlobBytes ?? 1024 * 1024;
    for (const part of ["blobs", "partial", "logs"]) mkdirSync(join(this.#folder, part), { recursive: true });
  }

  status(): Promise<BlobDeviceStatus> {
    return Promise.resolve({
      capacityBytes: 2 ** 40,
      freeBytes: 2 ** 40,
      preferredBlobBytes: this.#preferredBlobBytes,
    });
  }

  has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    return Promise.resolve(ids.map((id) => existsSync(this.#path("blobs", id))));
  }

  async put(id: Uint8Array, parts: readonly Uint8Array[]): Promise<PutResult> {
    if (existsSync(this.#path("blobs", id))) return { wasStored: true, sentBytes: 0 };
    const bytes = Buffer.concat(parts);
    const partial = this.#path("partial", id);
    const from = existsSync(partial) ? statSync(partial).size : 0;
    appendFileSync(
      this.#path("", Buffer.from("sent")),
      `${hex(id)} ${String(from)} ${String(bytes.length)}\n`,
    );
    for (let at = from; at < bytes.length; at += PIECE_BYTES) {
      appendFileSync(partial, bytes.subarray(at, at + PIECE_BYTES));
      await delay(this.#pauseMs);
    }
    if (createHash("sha256").update(readFileSync(partial)).digest("hex") !== hex(id))
      throw new Error("resumed with other bytes");
    renameSync(partial, this.#path("blobs", id));
    return { wasStored: false, sentBytes: bytes.length - from };
  }

  get(id: Uint8Array, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const path = this.#path("blobs", id);
    if (!existsSync(path))
      return Promise.reject(new Refusal("missingBlob", "the folder does not have a blob"));
    return Promise.resolve(readFileSync(path).subarray(offsetBytes, offsetBytes + lengthBytes));
  }

  async *list(): AsyncGenerator<{ id: Uint8Array; sizeBytes: number }> {
    await Promise.resolve();
    for (const name of readdirSync(join(this.#folder, "blobs")))
      yield { id: Buffer.from(name, "hex"), sizeBytes: statSync(join(this.#folder, "blobs", name)).size };
  }

  delete(): Promise<number> {
    return Promise.resolve(0);
  }

  logHead(log: Uint8Array): Promise<LogHead> {
    return Promise.resolve(headOf(this.#entries(log)));
  }

  logAppend(log: Uint8Array, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    const entries = this.#entries(log);
    if (Buffer.compare(headOf(entries).head, previous) !== 0)
      return Promise.reject(new LogConflict("another last entry"));
    appendFileSync(this.#path("logs", log), `${hex(entry)}\n`);
    return Promise.resolve(headOf([...entries, entry]));
  }

  logRead(log: Uint8Array, from: number): Promise<LogHead & { entries: Uint8Array[] }> {
    const entries = this.#entries(log);
    return Promise.resolve({ ...headOf(entries), entries: entries.slice(from) });
  }

  /** May forget, and does not. */
  logTrim(log: Uint8Array, before: number, head: Uint8Array): Promise<number> {
    const entries = this.#entries(log);
    if (entries.length === 0)
      return Promise.reject(new Refusal("missingBlob", "the folder does not have this log"));
    if (Buffer.compare(headOf(entries).head, head) !== 0)
      return Promise.reject(new LogConflict("another last entry"));
    if (before > entries.length) return Promise.reject(new RangeError("before: above the log's count"));
    return Promise.resolve(0);
  }

  logList(): Promise<(LogHead & { log: Uint8Array })[]> {
    const logs = readdirSync(join(this.#folder, "logs")).map((name) => Buffer.from(name, "hex"));
    return Promise.resolve(logs.map((log) => ({ log, ...headOf(this.#entries(log)) })));
  }

  #entries(log: Uint8Array): Uint8Array[] {
    const path = this.#path("logs", log);
    if (!existsSync(path)) return [];
    return readFileSync(path, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => Buffer.from(line, "hex"));
  }

  #path(part: string, id: Uint8Array): string {
    return join(this.#folder, part, hex(id));
  }
}

function headOf(entries: readonly Uint8Array[]): LogHead {
  let head: Uint8Array = Buffer.alloc(32);
  for (const entry of entries) head = createHash("sha256").update(head).update(entry).digest();
  return { count: entries.length, head };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
