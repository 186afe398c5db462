// SPDX-License-Identifier: MIT
/** A device in a folder, for tests that kill the process: uploads grow in a file and go on where they were. */

import { createHash } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Refusal } from "../../refusal";
import { LogConflict, LogTrimmed } from "../../remote/device-failure";
import type { BlobDevice, BlobDeviceStatus, LogHead, PutResult } from "../blob-device";

const PIECE_BYTES = 64 * 1024;
/** Opens the first line of a log that does not begin with sequence 0. */
const START = "start ";

interface StoredLog {
  /** Where the entries begin, and the hash of the entry before them. */
  start: LogHead;
  entries: Uint8Array[];
}

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
    const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0);
    const partial = this.#path("partial", id);
    const from = existsSync(partial) ? statSync(partial).size : 0;
    appendFileSync(this.#path("", Buffer.from("sent")), `${hex(id)} ${String(from)} ${String(sizeBytes)}\n`);
    let skipBytes = from;
    for (const part of parts) {
      const rest = part.subarray(Math.min(skipBytes, part.length));
      skipBytes -= part.length - rest.length;
      for (let at = 0; at < rest.length; at += PIECE_BYTES) {
        appendFileSync(partial, rest.subarray(at, at + PIECE_BYTES));
        await delay(this.#pauseMs);
      }
    }
    if (hashOfFile(partial) !== hex(id)) throw new Error("resumed with other bytes");
    renameSync(partial, this.#path("blobs", id));
    return { wasStored: false, sentBytes: sizeBytes - from };
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
    return Promise.resolve(headOf(this.#read(log)));
  }

  logAppend(log: Uint8Array, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    const stored = this.#read(log);
    if (!isSame(headOf(stored).head, previous)) return Promise.reject(new LogConflict("another last entry"));
    appendFileSync(this.#path("logs", log), `${hex(entry)}\n`);
    return Promise.resolve(headOf({ ...stored, entries: [...stored.entries, entry] }));
  }

  logRead(log: Uint8Array, from: number): Promise<LogHead & { entries: Uint8Array[] }> {
    const stored = this.#read(log);
    const { count } = stored.start;
    if (from < count) return Promise.reject(new LogTrimmed(this.name));
    return Promise.resolve({ ...headOf(stored), entries: stored.entries.slice(from - count) });
  }

  /** May forget, and does not. */
  logTrim(log: Uint8Array, before: number, head: Uint8Array): Promise<number> {
    const stored = this.#read(log);
    const now = headOf(stored);
    if (now.count === 0)
      return Promise.reject(new Refusal("missingBlob", "the folder does not have this log"));
    if (!isSame(now.head, head)) return Promise.reject(new LogConflict("another last entry"));
    if (before > now.count) return Promise.reject(new RangeError("before: above the log's count"));
    return Promise.resolve(stored.start.count);
  }

  logSkip(log: Uint8Array, first: number, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    const now = headOf(this.#read(log));
    if (now.count === first) return this.logAppend(log, previous, entry);
    const skipped = { start: { count: first, head: previous }, entries: [entry] };
    const head = headOf(skipped);
    if (now.count > first) {
      const isRepeated = now.count === head.count && isSame(now.head, head.head);
      return isRepeated ? Promise.resolve(head) : Promise.reject(new LogConflict("more entries"));
    }
    const partial = this.#path("partial", log);
    writeFileSync(partial, `${START}${String(first)} ${hex(previous)}\n${hex(entry)}\n`);
    renameSync(partial, this.#path("logs", log));
    return Promise.resolve(head);
  }

  logList(): Promise<(LogHead & { log: Uint8Array })[]> {
    const logs = readdirSync(join(this.#folder, "logs")).map((name) => Buffer.from(name, "hex"));
    return Promise.resolve(logs.map((log) => ({ log, ...headOf(this.#read(log)) })));
  }

  #read(log: Uint8Array): StoredLog {
    const path = this.#path("logs", log);
    const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
    let start: LogHead = { count: 0, head: Buffer.alloc(32) };
    if (lines[0]?.startsWith(START)) {
      const [count, head = ""] = lines[0].slice(START.length).split(" ");
      start = { count: Number(count), head: Buffer.from(head, "hex") };
      lines.shift();
    }
    return { start, entries: lines.map((line) => Buffer.from(line, "hex")) };
  }

  #path(part: string, id: Uint8Array): string {
    return join(this.#folder, part, hex(id));
  }
}

function headOf({ start, entries }: StoredLog): LogHead {
  let { head } = start;
  for (const entry of entries) head = createHash("sha256").update(head).update(entry).digest();
  return { count: start.count + entries.length, head };
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** In pieces: what tests measure of memory is not to be this. */
function hashOfFile(path: string): string {
  const hash = createHash("sha256");
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  const file = openSync(path, "r");
  for (let length = readSync(file, piece); length > 0; length = readSync(file, piece))
    hash.update(piece.subarray(0, length));
  closeSync(file);
  return hash.digest("hex");
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
