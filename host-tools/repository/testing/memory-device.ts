// SPDX-License-Identifier: MIT
/** A device in memory that keeps the contract of BlobDevice, with what a test needs to break it. */

import { createHash } from "node:crypto";
import { Refusal } from "../../refusal";
import { LogConflict, LogTrimmed } from "../../remote/device-failure";
import type { BlobDevice, BlobDeviceStatus, LogHead, PutResult } from "../blob-device";

const NO_ENTRY = Buffer.alloc(32);

interface StoredLog {
  id: Uint8Array;
  entries: Uint8Array[];
  /** Those below were trimmed; 0 when it is not there. */
  first?: number;
  /** Where it was made to go on: entries that were never here, and the hash of the last of them. */
  skipped?: LogHead;
}

export class MemoryDevice implements BlobDevice {
  readonly name: string;
  readonly blobs = new Map<string, Buffer>();
  readonly logs = new Map<string, StoredLog>();
  /** Bytes of interrupted uploads. */
  readonly partial = new Map<string, Buffer>();
  preferredBlobBytes: number;
  capacityBytes = 2 ** 40;
  /** Called before every verb; throws to fail it. `putBytes` bytes of a put arrive before it fails. */
  beforeCall: ((verb: string) => undefined | { putBytes: number }) | undefined;
  /** Awaited before every verb, after `beforeCall`. */
  onCall: (() => Promise<void>) | undefined;
  calls = 0;
  getBytes = 0;
  putBytes = 0;

  constructor(options: { name?: string; preferredBlobBytes?: number } = {}) {
    this.name = options.name ?? "memory";
    this.preferredBlobBytes = options.preferredBlobBytes ?? 16 * 1024 * 1024;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const blob of this.blobs.values()) bytes += blob.length;
    return bytes;
  }

  async status(): Promise<BlobDeviceStatus> {
    await this.#call("status");
    const { capacityBytes, preferredBlobBytes } = this;
    return { capacityBytes, freeBytes: capacityBytes - this.usedBytes, preferredBlobBytes };
  }

  async has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    await this.#call("has");
    return ids.map((id) => this.blobs.has(hex(id)));
  }

  async put(id: Uint8Array, parts: readonly Uint8Array[]): Promise<PutResult> {
    const key = hex(id);
    const bytes = Buffer.concat(parts);
    const resumed = this.partial.get(key)?.length ?? 0;
    const cut = await this.#call("put");
    if (this.blobs.has(key)) return { wasStored: true, sentBytes: 0 };
    if (this.usedBytes + bytes.length > this.capacityBytes)
      throw new Refusal("cardFull", `${this.name} has no room left on its card`);
    if (cut) {
      this.partial.set(key, Buffer.from(bytes.subarray(0, resumed + cut.putBytes)));
      this.putBytes += Math.min(cut.putBytes, bytes.length - resumed);
      throw lost();
    }
    if (createHash("sha256").update(bytes).digest("hex") !== key)
      throw new Error(`${this.name}: put of other bytes than the id names`);
    this.partial.delete(key);
    this.blobs.set(key, bytes);
    this.putBytes += bytes.length - resumed;
    return { wasStored: false, sentBytes: bytes.length - resumed };
  }

  async get(id: Uint8Array, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    await this.#call("get");
    const blob = this.blobs.get(hex(id));
    if (!blob) throw new Refusal("missingBlob", `${this.name} does not have a blob`);
    const bytes = Buffer.from(blob.subarray(offsetBytes, offsetBytes + lengthBytes));
    this.getBytes += bytes.length;
    return bytes;
  }

  async *list(): AsyncGenerator<{ id: Uint8Array; sizeBytes: number }> {
    await this.#call("list");
    for (const [key, blob] of this.blobs) yield { id: Buffer.from(key, "hex"), sizeBytes: blob.length };
  }

  async delete(ids: readonly Uint8Array[]): Promise<number> {
    await this.#call("delete");
    return ids.filter((id) => this.blobs.delete(hex(id))).length;
  }

  async logHead(log: Uint8Array): Promise<LogHead> {
    await this.#call("logHead");
    return headOf(this.logs.get(hex(log)));
  }

  async logAppend(log: Uint8Array, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    const cut = await this.#call("logAppend");
    const stored = this.logs.get(hex(log)) ?? { id: Uint8Array.from(log), entries: [] };
    if (Buffer.compare(headOf(stored).head, previous) !== 0) throw new LogConflict("another last entry");
    stored.entries.push(Uint8Array.from(entry));
    this.logs.set(hex(log), stored);
    // Appended, and the answer lost.
    if (cut) throw lost();
    return headOf(stored);
  }

  async logSkip(log: Uint8Array, first: number, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    const known = headOf(this.logs.get(hex(log)));
    if (known.count >= first) return this.logAppend(log, previous, entry);
    const cut = await this.#call("logSkip");
    const stored = {
      id: Uint8Array.from(log),
      entries: [entry],
      first,
      skipped: { count: first, head: previous },
    };
    this.logs.set(hex(log), stored);
    if (cut) throw lost();
    return headOf(stored);
  }

  async logRead(log: Uint8Array, from: number): Promise<LogHead & { entries: Uint8Array[] }> {
    await this.#call("logRead");
    const stored = this.logs.get(hex(log));
    if (from < (stored?.first ?? 0)) throw new LogTrimmed(this.name);
    return { ...headOf(stored), entries: stored?.entries.slice(from - (stored.skipped?.count ?? 0)) ?? [] };
  }

  async logTrim(log: Uint8Array, before: number, head: Uint8Array): Promise<number> {
    const cut = await this.#call("logTrim");
    const stored = this.logs.get(hex(log));
    if (!stored) throw new Refusal("missingBlob", `${this.name} does not have this log`);
    if (Buffer.compare(headOf(stored).head, head) !== 0) throw new LogConflict("another last entry");
    const { count } = headOf(stored);
    if (before > count) throw new RangeError("before: above the log's count");
    stored.first = Math.max(stored.first ?? 0, Math.min(before, count - 1));
    // Trimmed, and the answer lost.
    if (cut) throw lost();
    return stored.first;
  }

  async logList(): Promise<(LogHead & { log: Uint8Array })[]> {
    await this.#call("logList");
    return [...this.logs.values()].map((log) => ({ log: log.id, ...headOf(log) }));
  }

  async #call(verb: string): Promise<undefined | { putBytes: number }> {
    this.calls++;
    const cut = this.beforeCall?.(verb);
    await this.onCall?.();
    return cut;
  }
}

export function lost(): Refusal {
  return new Refusal("connectionLost", "the connection broke");
}

function headOf(log: StoredLog | undefined): LogHead {
  let { count, head } = log?.skipped ?? { count: 0, head: NO_ENTRY };
  for (const entry of log?.entries ?? []) {
    head = createHash("sha256").update(head).update(entry).digest();
    count++;
  }
  return { count, head };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
