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
  /** Where `entries` begin, when the log began anew: a sequence, and the hash of the entry before it. */
  start?: LogHead;
  /** Those below were trimmed or given up; 0 when it is not there. */
  first?: number;
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

  async get(
    id: Uint8Array,
    offsetBytes: number,
    lengthBytes: number,
    into?: Uint8Array,
  ): Promise<Uint8Array> {
    await this.#call("get");
    const blob = this.blobs.get(hex(id));
    if (!blob) throw new Refusal("missingBlob", `${this.name} does not have a blob`);
    const bytes = blob.subarray(offsetBytes, offsetBytes + lengthBytes);
    this.getBytes += bytes.length;
    if (!into || into.length < bytes.length) return Buffer.from(bytes);
    into.set(bytes);
    return into.subarray(0, bytes.length);
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
    if (!isSame(headOf(stored).head, previous)) throw new LogConflict("another last entry");
    stored.entries.push(Uint8Array.from(entry));
    this.logs.set(hex(log), stored);
    // Appended, and the answer lost.
    if (cut) throw lost();
    return headOf(stored);
  }

  async logRead(log: Uint8Array, from: number): Promise<LogHead & { entries: Uint8Array[] }> {
    await this.#call("logRead");
    const stored = this.logs.get(hex(log));
    const entries = stored?.entries ?? [];
    if (from < (stored?.first ?? 0)) throw new LogTrimmed(this.name);
    return { ...headOf(stored), entries: entries.slice(from - (stored?.start?.count ?? 0)) };
  }

  async logTrim(log: Uint8Array, before: number, head: Uint8Array): Promise<number> {
    const cut = await this.#call("logTrim");
    const stored = this.logs.get(hex(log));
    if (!stored) throw new Refusal("missingBlob", `${this.name} does not have this log`);
    const now = headOf(stored);
    if (!isSame(now.head, head)) throw new LogConflict("another last entry");
    if (before > now.count) throw new RangeError("before: above the log's count");
    stored.first = Math.max(stored.first ?? 0, Math.min(before, now.count - 1));
    // Trimmed, and the answer lost.
    if (cut) throw lost();
    return stored.first;
  }

  async logSkip(log: Uint8Array, first: number, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
    const cut = await this.#call("logSkip");
    let stored = this.logs.get(hex(log)) ?? { id: Uint8Array.from(log), entries: [] };
    const now = headOf(stored);
    const isRepeated = now.count === first + 1 && isSame(now.head, hashOf(previous, entry));
    if (!isRepeated) {
      if (now.count > first || (now.count === first && !isSame(now.head, previous)))
        throw new LogConflict("other entries, or more of them");
      if (now.count < first) {
        const start = { count: first, head: Uint8Array.from(previous) };
        stored = { id: stored.id, entries: [], start, first };
      }
      stored.entries.push(Uint8Array.from(entry));
      this.logs.set(hex(log), stored);
    }
    // Done, and the answer lost.
    if (cut) throw lost();
    return headOf(stored);
  }

  async logList(): Promise<(LogHead & { log: Uint8Array })[]> {
    await this.#call("logList");
    return [...this.logs.values()].map((stored) => ({ log: stored.id, ...headOf(stored) }));
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

function headOf(log?: StoredLog): LogHead {
  const { entries = [], start = { count: 0, head: NO_ENTRY } } = log ?? {};
  return { count: start.count + entries.length, head: entries.reduce(hashOf, start.head) };
}

function hashOf(previous: Uint8Array, entry: Uint8Array): Uint8Array {
  return createHash("sha256").update(previous).update(entry).digest();
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
