// SPDX-License-Identifier: MIT
/**
 * The keys of a repository. Each epoch has a random master key of 32 bytes; its keys are HKDF-SHA-256 with the
 * repository's id as salt and "coffer 1 " + a label as info, so that no key serves two purposes and none is shared by two
 * repositories. What names things (ids of chunks and logs, where chunks end) comes from epoch 0 for ever, so that equal
 * chunks stay one; what seals comes from the newest epoch. docs/repository.md "Keys".
 */

import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";

export const REPOSITORY_ID_BYTES = 16;
export const WRITER_ID_BYTES = 16;
export const KEY_BYTES = 32;
export const ANCHOR_BYTES = 16;
/** Each change of keys is one epoch; a reader follows the chain back to the first. */
export const MAX_EPOCHS = 1024;

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

/** What seals. One set for each epoch. */
export class EpochKeys {
  readonly chunkKey: Buffer;
  readonly packIndexKey: Buffer;
  readonly indexKey: Buffer;
  readonly entryKey: Buffer;
  readonly checkpointKey: Buffer;
  readonly writerKey: Buffer;
  /** Authenticates statements of the key log. */
  readonly statementKey: Buffer;
  /** Wraps the master key of the epoch before. */
  readonly linkKey: Buffer;
  /** What a slot remembers of the epoch in which it was made. */
  readonly anchor: Buffer;

  constructor(master: Uint8Array, repositoryId: Uint8Array) {
    if (master.length !== KEY_BYTES) throw new RangeError("master: expected 32 bytes");
    const derive = deriver(master, repositoryId);
    this.chunkKey = derive("chunk key");
    this.packIndexKey = derive("pack index");
    this.indexKey = derive("index");
    this.entryKey = derive("entry");
    this.checkpointKey = derive("checkpoint");
    this.writerKey = derive("writer key");
    this.statementKey = derive("key statement");
    this.linkKey = derive("key link");
    this.anchor = derive("key anchor").subarray(0, ANCHOR_BYTES);
  }

  zero(): void {
    const { chunkKey, packIndexKey, indexKey, entryKey, checkpointKey } = this;
    const { writerKey, statementKey, linkKey } = this;
    for (const key of [chunkKey, packIndexKey, indexKey, entryKey, checkpointKey]) key.fill(0);
    for (const key of [writerKey, statementKey, linkKey]) key.fill(0);
  }
}

/** After `zero` everything that needs a key throws: nothing is ever named or sealed under zeros. */
export class RepositoryKeys {
  readonly repositoryId: Uint8Array;
  readonly #epochs: EpochKeys[] = [];
  readonly #chunkIdKeys: Buffer[] = [];
  readonly #gearKey: Buffer;
  readonly #localKey: Buffer;
  readonly #logIdKey: Buffer;
  #isZeroed = false;

  /** `master` is that of epoch 0. */
  constructor(master: Uint8Array, repositoryId: Uint8Array) {
    if (repositoryId.length !== REPOSITORY_ID_BYTES) throw new RangeError("repositoryId: expected 16 bytes");
    this.repositoryId = repositoryId;
    this.addEpoch(master);
    const derive = deriver(master, repositoryId);
    for (let kind = 0; kind < CHUNK_KINDS; kind++) this.#chunkIdKeys.push(derive(`chunk id ${String(kind)}`));
    this.#logIdKey = derive("log id");
    this.#gearKey = derive("gear");
    this.#localKey = derive("local state");
  }

  /** The next epoch: from now on everything is sealed under it. */
  addEpoch(master: Uint8Array): void {
    if (this.#epochs.length === MAX_EPOCHS) throw new RangeError("epochs: too many");
    this.#epochs.push(new EpochKeys(master, this.repositoryId));
  }

  /** The newest, which seals. */
  get epoch(): number {
    return this.#epochs.length - 1;
  }

  get current(): EpochKeys {
    return this.at(this.epoch);
  }

  /** Throws DataError for an epoch whose keys are not known. */
  at(epoch: number): EpochKeys {
    this.#requireKeys();
    const keys = this.#epochs[epoch];
    if (!keys)
      throw new DataError(
        "forged",
        `sealed with keys of epoch ${String(epoch)}, which the key log does not show`,
      );
    return keys;
  }

  chunkKeyAt(epoch: number): Buffer {
    return this.at(epoch).chunkKey;
  }

  get gearKey(): Buffer {
    this.#requireKeys();
    return this.#gearKey;
  }

  get localKey(): Buffer {
    this.#requireKeys();
    return this.#localKey;
  }

  chunkIdKey(kind: ChunkKind): Buffer {
    this.#requireKeys();
    const key = this.#chunkIdKeys[kind];
    if (key === undefined) throw new RangeError(`kind: expected 0..3, got ${String(kind)}`);
    return key;
  }

  /** The log of checkpoints: like a writer's log, of no writer. */
  get checkpointLogId(): Uint8Array {
    const mark = this.#logMark("checkpoints");
    return Buffer.concat([this.repositoryId, mark.subarray(0, 32 - REPOSITORY_ID_BYTES)]);
  }

  /** Writer id, then a mark that only who has the keys can make: logs of this repository are known by their ids. */
  logId(writer: Uint8Array): Uint8Array {
    const mark = this.#logMark(writer);
    return Buffer.concat([writer, mark.subarray(0, 32 - WRITER_ID_BYTES)]);
  }

  /** The writer whose log has this id, or undefined when it is none of this repository. */
  writerOf(log: Uint8Array): Uint8Array | undefined {
    const writer = log.subarray(0, WRITER_ID_BYTES);
    return log.length === 32 && timingSafeEqual(this.logId(writer), log) ? writer : undefined;
  }

  zero(): void {
    this.#isZeroed = true;
    for (const epoch of this.#epochs) epoch.zero();
    for (const key of [...this.#chunkIdKeys, this.#logIdKey, this.#gearKey, this.#localKey]) key.fill(0);
  }

  #logMark(of: string | Uint8Array): Buffer {
    this.#requireKeys();
    return createHmac("sha256", this.#logIdKey).update(of).digest();
  }

  #requireKeys(): void {
    if (this.#isZeroed) throw new Error("the repository is closed: its keys are zeroed");
  }
}

function deriver(master: Uint8Array, repositoryId: Uint8Array): (label: string) => Buffer {
  return (label) => Buffer.from(hkdfSync("sha256", master, repositoryId, `coffer 1 ${label}`, KEY_BYTES));
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
