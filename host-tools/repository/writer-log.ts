// SPDX-License-Identifier: MIT
/**
 * The verified entries of one writer's log, from the first or from where a checkpoint takes over, and their copy in a
 * file of this computer. An entry is accepted only in its place: sealed and signed for this writer, this sequence and the
 * hash of the entry before it.
 *
 * The file is a cache: what does not verify is dropped and fetched again.
 *   u64 sequence of the first entry | hash before it | for each entry: u16 length, the entry
 */

import { createHash } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { entryHash, NO_ENTRY } from "../../firmware/protocol/log-chain";
import { DataError } from "../../firmware/protocol/data-error";
import { HASH_BYTES, MAX_ENTRY_BYTES } from "../../firmware/protocol/limits";
import { fromFileError } from "../refusal";
import { type EntryBody, openEntry } from "./log-entry";
import type { RepositoryKeys } from "./repository-keys";
import { sealedEpoch } from "./signed-seal";

const hashing = {
  createSha256() {
    const hash = createHash("sha256");
    return {
      write: (bytes: Uint8Array): void => {
        hash.update(bytes);
      },
      close: (): Uint8Array => hash.digest(),
    };
  },
};

const FILE_HEADER_BYTES = 8 + HASH_BYTES;

/** Where a log begins here. A checkpoint leaves the last entry that it stands for in the log. */
export interface LogStart {
  /** Entries before the beginning, and the hash of the last of them. */
  count: number;
  head: Uint8Array;
  /** Entries that the checkpoint stands for: at most one more than `count`. */
  covered: number;
  /** The writer's Ed25519 key, what the computer is called, and how many entries count if it was revoked. */
  publicKey: Uint8Array;
  name: string;
  limit: number | undefined;
}

const wholeLog = { count: 0, head: NO_ENTRY, covered: 0, limit: undefined };

export class WriterLog {
  readonly writer: Uint8Array;
  readonly id: Uint8Array;
  /** Hexadecimal `id`. */
  readonly key: string;
  /** Set when the writer was revoked: how many entries count. */
  limit: number | undefined;
  readonly #keys: RepositoryKeys;
  readonly #path: string;
  #start: Omit<LogStart, "publicKey" | "name"> & Partial<LogStart> = wholeLog;
  readonly #bodies: EntryBody[] = [];
  readonly #sealed: Uint8Array[] = [];
  /** Hash after each entry. */
  readonly #hashes: Uint8Array[] = [];
  /** The file begins elsewhere than this log. */
  #isFileStale = false;

  constructor(options: { keys: RepositoryKeys; writer: Uint8Array; path: string }) {
    this.#keys = options.keys;
    this.#path = options.path;
    this.writer = options.writer;
    this.id = options.keys.logId(options.writer);
    this.key = Buffer.from(this.id).toString("hex");
  }

  /** Sequence of the first entry that is here. */
  get first(): number {
    return this.#start.count;
  }

  get count(): number {
    return this.#start.count + this.#bodies.length;
  }

  /** How many entries a checkpoint stands for. */
  get covered(): number {
    return this.#start.covered;
  }

  /** What the checkpoint says of a revocation. */
  get coveredLimit(): number | undefined {
    return this.#start.limit;
  }

  /** How many entries count. */
  get acceptedCount(): number {
    return Math.min(this.count, this.limit ?? this.count);
  }

  /** All that are here, also those that do not count. */
  get bodies(): readonly EntryBody[] {
    return this.#bodies;
  }

  /** The entries that count, of those that are here. */
  get accepted(): readonly EntryBody[] {
    return this.limit === undefined ? this.#bodies : this.between(this.first, this.limit);
  }

  /** Of them, those that no checkpoint stands for. */
  get uncovered(): readonly EntryBody[] {
    return this.between(this.covered, this.acceptedCount);
  }

  /** What the computer is called, for messages. */
  get name(): string {
    const name = this.#start.name ?? this.#bodies[0]?.name ?? "";
    return name === "" ? Buffer.from(this.writer.subarray(0, 4)).toString("hex") : name;
  }

  /** Undefined as long as nothing is known of the log. */
  get publicKey(): Uint8Array | undefined {
    return this.#start.publicKey ?? this.#bodies[0]?.publicKey;
  }

  get head(): Uint8Array {
    return this.headAt(this.count) ?? NO_ENTRY;
  }

  /** The hash that a log of `count` entries ends with; undefined beyond what is known. */
  headAt(count: number): Uint8Array | undefined {
    return count === this.first ? this.#start.head : this.#hashes[count - this.first - 1];
  }

  bodyAt(sequence: number): EntryBody | undefined {
    return this.#bodies[sequence - this.first];
  }

  sealedAt(sequence: number): Uint8Array | undefined {
    return this.#sealed[sequence - this.first];
  }

  /** Those that are here of the entries from sequence `from` up to, and without, `to`. */
  between(from: number, to: number): EntryBody[] {
    return this.#bodies.slice(Math.max(from - this.first, 0), Math.max(to - this.first, 0));
  }

  /** Takes a checkpoint for what it stands for. What leads up to it stays as long as this object does. */
  startFrom(start: LogStart): void {
    if (this.count < start.covered || this.#bodies.length === 0) {
      this.#start = start;
      for (const list of [this.#bodies, this.#sealed, this.#hashes]) list.length = 0;
      this.#isFileStale = true;
      return;
    }
    const { count, head } = this.#start;
    this.#start = { ...start, count, head };
  }

  /** Verifies an entry as the next one and takes it up in memory. Throws DataError. */
  accept(sealed: Uint8Array, options: { isVerified?: boolean } = {}): EntryBody {
    const last = this.#sealed.at(-1);
    if (last && sealedEpoch(sealed) < sealedEpoch(last))
      throw new DataError("forged", "sealed with older keys than the entry before it");
    const body = openEntry(sealed, {
      keys: this.#keys,
      writer: this.writer,
      sequence: this.count,
      previous: this.head,
      publicKey: this.publicKey,
      ...options,
    });
    const hash = entryHash(hashing, this.head, sealed);
    this.#bodies.push(body);
    this.#sealed.push(sealed);
    this.#hashes.push(hash);
    return body;
  }

  /**
   * Reads the local copy. True when all of it verified; the rest is cut off. Signatures of the first entries are known.
   * What a checkpoint stands for is cut off, too.
   */
  load(verified: { count: number; head: string } | undefined): boolean {
    this.#isFileStale = false;
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
      throw fromFileError(error, `cannot read ${this.#path}`);
    }
    const entries = bytes.length < FILE_HEADER_BYTES ? "damaged" : this.#skipCovered(bytes);
    if (typeof entries === "string") {
      rmSync(this.#path);
      return entries === "behind";
    }
    let at = 0;
    const trusted =
      verified && this.#chainHead(entries, verified.count) === verified.head ? verified.count : 0;
    while (at + 2 <= entries.length) {
      const end = at + 2 + entries.readUInt16BE(at);
      if (end > entries.length) break;
      const entry = entries.subarray(at + 2, end);
      try {
        this.accept(entry, { isVerified: this.count < trusted });
      } catch {
        // Two processes that fetched at the same time both appended it.
        if (!this.#sealed.some((other) => Buffer.compare(other, entry) === 0)) break;
      }
      at = end;
    }
    const isWhole = at === entries.length;
    if (entries.length + FILE_HEADER_BYTES < bytes.length) this.#rewrite();
    else if (!isWhole) truncateSync(this.#path, FILE_HEADER_BYTES + at);
    return isWhole;
  }

  /** Appends the entries from sequence `from` on to the local copy; `isDurable` waits for the disk. */
  save(from: number, isDurable: boolean): void {
    if (this.#isFileStale) {
      this.#rewrite();
      this.#isFileStale = false;
      return;
    }
    try {
      this.#create();
      appendFileSync(this.#path, this.#encode(from));
      if (isDurable) syncFile(this.#path);
    } catch (error) {
      throw fromFileError(error, `cannot write ${this.#path}`);
    }
  }

  /** Begins the local copy anew, with what is here. */
  #rewrite(): void {
    try {
      const bytes = Buffer.concat([this.#header(), this.#encode(this.first)]);
      // Durable before it takes the place of what may be the only copy of an entry that no device has yet.
      writeFileSync(`${this.#path}.tmp`, bytes, { mode: 0o600 });
      syncFile(`${this.#path}.tmp`);
      renameSync(`${this.#path}.tmp`, this.#path);
    } catch (error) {
      throw fromFileError(error, `cannot write ${this.#path}`);
    }
  }

  #create(): void {
    try {
      writeFileSync(this.#path, this.#header(), { mode: 0o600, flag: "wx" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }

  #header(): Buffer {
    const header = Buffer.alloc(FILE_HEADER_BYTES);
    header.writeBigUInt64BE(BigInt(this.first));
    header.set(this.#start.head, 8);
    return header;
  }

  #encode(from: number): Buffer {
    const parts: Uint8Array[] = [];
    for (const entry of this.#sealed.slice(from - this.first)) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(entry.length);
      parts.push(length, entry);
    }
    return Buffer.concat(parts);
  }

  /** The entries of the file from where this log begins. */
  #skipCovered(bytes: Buffer): Buffer | "behind" | "damaged" {
    let head: Uint8Array = bytes.subarray(8, FILE_HEADER_BYTES);
    let sequence = Number(bytes.readBigUInt64BE(0));
    let at = FILE_HEADER_BYTES;
    for (; sequence < this.first; sequence++) {
      const end = at + 2 <= bytes.length ? at + 2 + bytes.readUInt16BE(at) : Infinity;
      if (end > bytes.length) return "behind";
      head = entryHash(hashing, head, bytes.subarray(at + 2, end));
      at = end;
    }
    if (sequence !== this.first || Buffer.compare(head, this.#start.head) !== 0) return "damaged";
    return bytes.subarray(at);
  }

  /** The hash that the log ends with when it has `count` entries, of these those from the beginning on. */
  #chainHead(bytes: Buffer, count: number): string {
    let at = 0;
    let head: Uint8Array = this.#start.head;
    for (let i = this.first; i < count; i++) {
      if (at + 2 > bytes.length) return "";
      const length = bytes.readUInt16BE(at);
      if (length > MAX_ENTRY_BYTES || at + 2 + length > bytes.length) return "";
      head = entryHash(hashing, head, bytes.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    return Buffer.from(head).toString("hex");
  }
}

function syncFile(path: string): void {
  const file = openSync(path, "r+");
  fsyncSync(file);
  closeSync(file);
}
