// SPDX-License-Identifier: MIT
/**
 * The keys of a repository, all from one random master key of 32 bytes: HKDF-SHA-256 with the repository's id as salt
 * and "coffer 1 " + a label as info, so that no key serves two purposes and none is shared by two repositories.
 * docs/repository.md "Keys".
 */

import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

export const REPOSITORY_ID_BYTES = 16;
export const WRITER_ID_BYTES = 16;
export const KEY_BYTES = 32;

/** What a chunk is; part of every key, id and additional data, so that no kind can stand in for another. */
export const ChunkKind = {
  /** A piece of a file. */
  data: 0,
  /** A piece of a folder's list of entries. */
  tree: 1,
  /** A piece of a long list of chunks. */
  list: 2,
  /** A piece of what did not fit in a log entry. */
  detail: 3,
} as const;
export type ChunkKind = (typeof ChunkKind)[keyof typeof ChunkKind];
export const CHUNK_KINDS = 4;

const keyLogMark = "coffer keys 1";

export class RepositoryKeys {
  readonly repositoryId: Uint8Array;
  readonly chunkKey: Buffer;
  readonly packIndexKey: Buffer;
  readonly indexKey: Buffer;
  readonly entryKey: Buffer;
  readonly gearKey: Buffer;
  readonly writerKey: Buffer;
  readonly localKey: Buffer;
  readonly #chunkIdKeys: Buffer[] = [];
  readonly #logIdKey: Buffer;

  constructor(master: Uint8Array, repositoryId: Uint8Array) {
    if (master.length !== KEY_BYTES) throw new RangeError("master: expected 32 bytes");
    if (repositoryId.length !== REPOSITORY_ID_BYTES) throw new RangeError("repositoryId: expected 16 bytes");
    this.repositoryId = repositoryId;
    const derive = (label: string): Buffer =>
      Buffer.from(hkdfSync("sha256", master, repositoryId, `coffer 1 ${label}`, KEY_BYTES));
    for (let kind = 0; kind < CHUNK_KINDS; kind++) this.#chunkIdKeys.push(derive(`chunk id ${String(kind)}`));
    this.chunkKey = derive("chunk key");
    this.packIndexKey = derive("pack index");
    this.indexKey = derive("index");
    this.entryKey = derive("entry");
    this.#logIdKey = derive("log id");
    this.gearKey = derive("gear");
    this.writerKey = derive("writer key");
    this.localKey = derive("local state");
  }

  chunkIdKey(kind: ChunkKind): Buffer {
    const key = this.#chunkIdKeys[kind];
    if (key === undefined) throw new RangeError(`kind: expected 0..3, got ${String(kind)}`);
    return key;
  }

  /** Writer id, then a mark that only who has the keys can make: logs of this repository are known by their ids. */
  logId(writer: Uint8Array): Uint8Array {
    const mark = createHmac("sha256", this.#logIdKey).update(writer).digest();
    return Buffer.concat([writer, mark.subarray(0, 32 - WRITER_ID_BYTES)]);
  }

  /** The writer whose log has this id, or undefined when it is none of this repository. */
  writerOf(log: Uint8Array): Uint8Array | undefined {
    const writer = log.subarray(0, WRITER_ID_BYTES);
    return log.length === 32 && timingSafeEqual(this.logId(writer), log) ? writer : undefined;
  }

  zero(): void {
    for (const key of [
      ...this.#chunkIdKeys,
      this.chunkKey,
      this.packIndexKey,
      this.indexKey,
      this.entryKey,
      this.#logIdKey,
      this.gearKey,
      this.writerKey,
      this.localKey,
    ])
      key.fill(0);
  }
}

/** The log that holds the key slots: found without any key, because that is what one has when it is needed. */
export function keyLogId(repositoryId: Uint8Array): Uint8Array {
  const mark = createHmac("sha256", keyLogMark).update(repositoryId).digest();
  return Buffer.concat([repositoryId, mark.subarray(0, 32 - REPOSITORY_ID_BYTES)]);
}

/** The repository whose key log has this id, or undefined when it is no key log. */
export function repositoryOfKeyLog(log: Uint8Array): Uint8Array | undefined {
  const repositoryId = log.subarray(0, REPOSITORY_ID_BYTES);
  return log.length === 32 && Buffer.compare(keyLogId(repositoryId), log) === 0 ? repositoryId : undefined;
}
