// SPDX-License-Identifier: MIT
/**
 * The verified entries of one writer's log, and their copy in a file of this computer. An entry is accepted only in its
 * place: sealed and signed for this writer, this sequence and the hash of the entry before it.
 *
 * The file, for each entry u16 length and its bytes, is a cache: what does not verify is dropped and fetched again.
 */

import { createHash } from "node:crypto";
import { appendFileSync, closeSync, fsyncSync, openSync, readFileSync, truncateSync } from "node:fs";
import { entryHash, NO_ENTRY } from "../../firmware/protocol/log-chain";
import { DataError } from "../../firmware/protocol/data-error";
import { MAX_ENTRY_BYTES } from "../../firmware/protocol/limits";
import { fromFileError } from "../refusal";
import { type EntryBody, entryEpoch, openEntry } from "./log-entry";
import type { RepositoryKeys } from "./repository-keys";

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

export class WriterLog {
  readonly writer: Uint8Array;
  readonly id: Uint8Array;
  /** Hexadecimal `id`. */
  readonly key: string;
  readonly bodies: EntryBody[] = [];
  readonly sealed: Uint8Array[] = [];
  /** Set when the writer was revoked: how many entries count. */
  limit: number | undefined;
  readonly #keys: RepositoryKeys;
  readonly #path: string;
  /** Hash after each entry. */
  readonly #hashes: Uint8Array[] = [];

  constructor(options: { keys: RepositoryKeys; writer: Uint8Array; path: string }) {
    this.#keys = options.keys;
    this.#path = options.path;
    this.writer = options.writer;
    this.id = options.keys.logId(options.writer);
    this.key = Buffer.from(this.id).toString("hex");
  }

  get count(): number {
    return this.bodies.length;
  }

  /** The entries that count. */
  get accepted(): readonly EntryBody[] {
    return this.limit === undefined ? this.bodies : this.bodies.slice(0, this.limit);
  }

  /** What the computer is called, for messages. */
  get name(): string {
    const name = this.bodies[0]?.name ?? "";
    return name === "" ? Buffer.from(this.writer.subarray(0, 4)).toString("hex") : name;
  }

  get head(): Uint8Array {
    return this.headAt(this.count) ?? NO_ENTRY;
  }

  /** The hash that a log of `count` entries ends with; undefined beyond what is known. */
  headAt(count: number): Uint8Array | undefined {
    return count === 0 ? NO_ENTRY : this.#hashes[count - 1];
  }

  /** Verifies an entry as the next one and takes it up in memory. Throws DataError. */
  accept(sealed: Uint8Array, options: { isVerified?: boolean } = {}): EntryBody {
    const last = this.sealed.at(-1);
    if (last && entryEpoch(sealed) < entryEpoch(last))
      throw new DataError("forged", "sealed with older keys than the entry before it");
    const body = openEntry(sealed, {
      keys: this.#keys,
      writer: this.writer,
      sequence: this.count,
      previous: this.head,
      publicKey: this.bodies[0]?.publicKey,
      ...options,
    });
    const hash = entryHash(hashing, this.head, sealed);
    this.bodies.push(body);
    this.sealed.push(sealed);
    this.#hashes.push(hash);
    return body;
  }

  /** Reads the local copy. True when all of it verified; the rest is cut off. Signatures of the first entries are known. */
  load(verified: { count: number; head: string } | undefined): boolean {
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
      throw fromFileError(error, `cannot read ${this.#path}`);
    }
    let at = 0;
    const trusted = verified && this.#chainHead(bytes, verified.count) === verified.head ? verified.count : 0;
    while (at + 2 <= bytes.length) {
      const end = at + 2 + bytes.readUInt16BE(at);
      if (end > bytes.length) break;
      const entry = bytes.subarray(at + 2, end);
      try {
        this.accept(entry, { isVerified: this.count < trusted });
      } catch {
        // Two processes that fetched at the same time both appended it.
        if (!this.sealed.some((other) => Buffer.compare(other, entry) === 0)) break;
      }
      at = end;
    }
    if (at === bytes.length) return true;
    truncateSync(this.#path, at);
    return false;
  }

  /** Appends the entries from sequence `from` on to the local copy; `isDurable` waits for the disk. */
  save(from: number, isDurable: boolean): void {
    const parts: Uint8Array[] = [];
    for (const entry of this.sealed.slice(from)) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(entry.length);
      parts.push(length, entry);
    }
    try {
      appendFileSync(this.#path, Buffer.concat(parts), { mode: 0o600 });
      if (!isDurable) return;
      const file = openSync(this.#path, "r+");
      fsyncSync(file);
      closeSync(file);
    } catch (error) {
      throw fromFileError(error, `cannot write ${this.#path}`);
    }
  }

  #chainHead(bytes: Buffer, count: number): string {
    let at = 0;
    let head: Uint8Array = NO_ENTRY;
    for (let i = 0; i < count; i++) {
      if (at + 2 > bytes.length) return "";
      const length = bytes.readUInt16BE(at);
      if (length > MAX_ENTRY_BYTES || at + 2 + length > bytes.length) return "";
      head = entryHash(hashing, head, bytes.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    return Buffer.from(head).toString("hex");
  }
}
