// SPDX-License-Identifier: MIT
/**
 * Makes a change visible: packs, then index, then the log entry, each durable on every target before the next begins.
 * Holds a lock of this computer while it does, so that two commands never write two entries for one place in the log;
 * other computers have logs of their own and need none.
 */

import { createHash, type KeyObject, createPublicKey } from "node:crypto";
import { Refusal } from "../refusal";
import type { ByteString } from "./byte-names";
import { withStateLock } from "../state-lock";
import { State } from "../state";
import type { BlobDevice } from "./blob-device";
import type { ChunkCipher } from "./chunk-cipher";
import type { ChunkIndex } from "./chunk-index";
import { MAX_CHUNK_BYTES } from "./chunker";
import { ContentBuilder } from "./content";
import type { Checkpoints } from "./checkpoints";
import {
  type IndexedPackRecord,
  encodeIndex,
  inIndexBlobs,
  indexedPackBytes,
  sealIndexBlob,
} from "./index-blob";
import type { IndexLoader } from "./index-loader";
import type { KeptBlobs } from "./kept-blobs";
import {
  type EntryBody,
  MAX_BODY_BYTES,
  MAX_INDEX_BLOBS,
  MAX_REVOKED,
  type Operation,
  type SeenHead,
  encodeDetail,
  exportPublicKey,
  isPackOperation,
  isTreeOperation,
  sealEntry,
} from "./log-entry";
import type { LogBook } from "./log-book";
import type { MergedState } from "./merged-state";
import type { PackUploader } from "./pack-uploader";
import { ChunkKind, type RepositoryKeys } from "./repository-keys";
import { CondemnedMeanwhile } from "./pack-fate";
import { type TreeEntry, encodeEntry } from "./tree";
import type { TreeEditor } from "./tree-edit";
import type { TreeStore } from "./tree-store";

const LOCK_PATIENCE_MS = 10 * 60_000;
const INLINE_DETAIL_BYTES = 800;
/** Everything in a body that is not counted one by one: names of fields, numbers, the first entry's key. */
const BODY_RESERVE_BYTES = 360;

export interface CommitContext {
  keys: RepositoryKeys;
  cipher: ChunkCipher;
  index: ChunkIndex;
  logs: LogBook;
  state: MergedState;
  editor: TreeEditor;
  trees: TreeStore;
  indexLoader: IndexLoader;
  checkpoints: Checkpoints;
  blobs: KeptBlobs;
  targets: readonly BlobDevice[];
  writer: { id: Uint8Array; signingKey: KeyObject };
  /** What this computer is called in its log. */
  computer: string;
  /** Folder of the lock. */
  folder: string;
  /** Takes up what the targets have gained. */
  refresh: () => Promise<void>;
  /** Called before the first entry goes to a device. */
  prepare: (device: BlobDevice) => Promise<void>;
}

export class Committer {
  readonly #context: CommitContext;

  constructor(context: CommitContext) {
    this.#context = context;
  }

  /**
   * False when the operations change nothing: then nothing was written. `folders` are those that must be readable from
   * each target alone, with the ones above them. Throws CondemnedMeanwhile when packs that were there at the time of
   * `condemnations` may be deleted, also when that was seen only after the entry was written: then again is right, too.
   */
  async commit(
    operations: readonly Operation[],
    folders: readonly (readonly ByteString[])[],
    uploader: PackUploader,
    { condemnations, isAgain }: { condemnations: number; isAgain: boolean },
  ): Promise<boolean> {
    return this.#locked(async () => {
      const { state, editor, refresh, indexLoader, writer, computer, logs, checkpoints } = this.#context;
      const { fate } = indexLoader;
      // What was asked for was asked of the state before this: what others wrote meanwhile is merged, not overwritten.
      const from = state.snapshot;
      await refresh();
      this.#requireCounted();
      if (fate.condemnations !== condemnations) throw new CondemnedMeanwhile();
      let made = from.root;
      for (const operation of operations) made = await editor.apply(made, operation);
      const draft = { root: made, operations, writer: writer.id, computer };
      const root = await state.bring(draft, from);
      const isSameState = isSame(root, state.root) && operations.every(isTreeOperation);
      for (const folder of folders) await this.#storeFolders(root, folder, uploader);
      if (isAgain) await this.#storePending(uploader);
      if (isSameState) await uploader.flush();
      if (isSameState && uploader.packs.size === 0) {
        await Promise.all(this.#context.targets.map((target) => logs.bringUpToDate(target, checkpoints)));
        return false;
      }
      await this.#write(root, operations, uploader);
      await refresh();
      const own = operations.some(({ op }) => op === "condemn") ? 1 : 0;
      if (fate.condemnations !== condemnations + own) throw new CondemnedMeanwhile();
      this.#context.trees.pending.clear();
      return true;
    });
  }

  /** Ends the logs of the computer of that name where they end now. Gives how many were not ended before. */
  async revoke(name: string, uploader: PackUploader): Promise<number> {
    return this.#locked(async () => {
      const { state, logs, refresh } = this.#context;
      await refresh();
      this.#requireCounted();
      const ended = [...logs.logs.values()].filter(
        (log) => log.name === name && log.count > 0 && log.limit === undefined,
      );
      for (let at = 0; at < ended.length; at += MAX_REVOKED) {
        const revoked = ended
          .slice(at, at + MAX_REVOKED)
          .map(({ writer, count, head }) => ({ writer, count, head }));
        await this.#write(state.root, [], uploader, revoked);
      }
      await state.compute();
      return ended.length;
    });
  }

  /** Folders that this commit, or an attempt before it, has made. */
  async #storePending(uploader: PackUploader): Promise<void> {
    for (const { kind, id, plaintext } of this.#context.trees.pending.values())
      await uploader.offer(kind, id, plaintext);
  }

  #requireCounted(): void {
    const { logs, writer, computer } = this.#context;
    if (logs.log(writer.id).limit !== undefined)
      throw new Refusal(
        "certificateRevoked",
        `this computer, ${computer}, was revoked and cannot write any more`,
        {
          hint: "Ask whoever revoked it; `coffer client add` lets it in again, with an empty state folder.",
        },
      );
  }

  /** Folders on the way that did not change may be on other devices only. */
  async #storeFolders(root: TreeEntry, path: readonly ByteString[], uploader: PackUploader): Promise<void> {
    const { trees } = this.#context;
    for (let depth = 0; depth <= path.length; depth++) {
      const folder = await trees.find(root, path.slice(0, depth));
      if (!folder) return;
      for await (const { kind, id, read } of trees.chunksOf(folder))
        if (!uploader.isRecorded(kind, id)) await uploader.offer(kind, id, await read());
    }
  }

  async #write(
    root: TreeEntry,
    operations: readonly Operation[],
    uploader: PackUploader,
    revoked?: SeenHead[],
  ): Promise<void> {
    const { targets, logs, checkpoints, prepare } = this.#context;
    await this.#storePending(uploader);
    const detail = await this.#detail(operations, uploader);
    await uploader.flush();
    const rootBytes = encodeEntry(root);
    const names = targets.map((target) => target.name);
    let room = MAX_BODY_BYTES - BODY_RESERVE_BYTES - rootBytes.length;
    room -=
      (detail instanceof Uint8Array ? detail.length : detail.content.length) +
      names.join("").length +
      2 * names.length;
    await Promise.all(targets.map(prepare));
    const index = await this.#index(uploader.packs, room);
    for (let at = 0; at < index.length - 1; at++)
      this.#append({
        root: encodeEntry(this.#context.state.root),
        index: index[at] ?? [],
        detail: this.#emptyDetail(),
        devices: names,
      });
    const hasPackOperations = operations.some(isPackOperation);
    const last = index.at(-1) ?? new Uint8Array(0);
    this.#append({
      root: rootBytes,
      index: last,
      detail,
      devices: names,
      ...(hasPackOperations ? { hasPackOperations } : {}),
      ...(revoked ? { revoked } : {}),
    });
    await Promise.all(targets.map((target) => logs.bringUpToDate(target, checkpoints)));
    uploader.packs.clear();
  }

  /** Signs and seals an entry and makes it durable on this computer. */
  #append(
    fields: Pick<EntryBody, "root" | "index" | "detail" | "devices" | "hasPackOperations" | "revoked">,
  ): void {
    const { keys, logs, state, writer } = this.#context;
    const log = logs.log(writer.id);
    const body: EntryBody = {
      ...fields,
      writer: writer.id,
      sequence: log.count,
      previous: log.head,
      lamport: ++state.lamport,
      timeMs: Date.now(),
      ...(log.count === 0
        ? { publicKey: exportPublicKey(createPublicKey(writer.signingKey)), name: this.#context.computer }
        : {}),
    };
    logs.acceptOwn(log, sealEntry(keys, writer.signingKey, body));
  }

  /** What goes into each entry: the packs themselves when they fit, else ids of index blobs, stored on every target. */
  async #index(stored: PackUploader["packs"], room: number): Promise<(Uint8Array | Uint8Array[])[]> {
    if (stored.size === 0) return [];
    let sizeBytes = 8;
    for (const number of stored.keys())
      sizeBytes += indexedPackBytes(this.#context.index.pack(number).chunkCount);
    if (sizeBytes <= room) return [encodeIndex([...this.#records(stored)])];
    const ids: Uint8Array[] = [];
    for (const group of inIndexBlobs(this.#records(stored))) ids.push(await this.#putIndexBlob(group));
    const perEntry = Math.min(MAX_INDEX_BLOBS, Math.max(1, Math.floor(room / 36)));
    const lists: Uint8Array[][] = [];
    for (let at = 0; at < ids.length; at += perEntry) lists.push(ids.slice(at, at + perEntry));
    return lists;
  }

  *#records(stored: PackUploader["packs"]): Generator<IndexedPackRecord> {
    const { index, targets } = this.#context;
    for (const [number, devices] of stored) {
      const deviceMask = targets.reduce(
        (mask, { name }, i) => (devices.has(name) ? mask | (1 << i) : mask),
        0,
      );
      yield { ...index.packWithChunks(index.pack(number)), deviceMask };
    }
  }

  async #putIndexBlob(packs: readonly IndexedPackRecord[]): Promise<Uint8Array> {
    const blob = sealIndexBlob(this.#context.keys, packs);
    const id = createHash("sha256").update(blob).digest();
    await Promise.all(this.#context.targets.map((target) => target.put(id, [blob])));
    this.#context.blobs.keep(id, blob);
    return id;
  }

  async #detail(operations: readonly Operation[], uploader: PackUploader): Promise<EntryBody["detail"]> {
    const bytes = encodeDetail({ operations: [...operations], seen: this.#seen() });
    if (bytes.length <= INLINE_DETAIL_BYTES) return bytes;
    const builder = new ContentBuilder({
      storeList: () =>
        Promise.reject(
          new Refusal("usage", "too many changes in one step", { hint: "Change fewer paths at once." }),
        ),
    });
    for (let at = 0; at < bytes.length; at += MAX_CHUNK_BYTES) {
      const plaintext = bytes.subarray(at, at + MAX_CHUNK_BYTES);
      const id = this.#context.cipher.id(ChunkKind.detail, plaintext);
      await uploader.offer(ChunkKind.detail, id, plaintext);
      await builder.add({ lengthBytes: plaintext.length, id });
    }
    return { content: await builder.finish(), sizeBytes: bytes.length };
  }

  #emptyDetail(): Uint8Array {
    return encodeDetail({ operations: [], seen: this.#seen() });
  }

  /** The heads of all other logs, as they are brought to the targets before the entry. */
  #seen(): { writer: Uint8Array; count: number; head: Uint8Array }[] {
    const { logs, writer } = this.#context;
    return [...logs.logs.values()]
      .filter((log) => log.acceptedCount > 0 && Buffer.compare(log.writer, writer.id) !== 0)
      .map((log) => {
        const count = log.acceptedCount;
        return { writer: log.writer, count, head: log.headAt(count) ?? log.head };
      });
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    const endMs = Date.now() + LOCK_PATIENCE_MS;
    for (;;) {
      const lock = { isHeld: false };
      try {
        return await withStateLock(new State(this.#context.folder), () => {
          lock.isHeld = true;
          return work();
        });
      } catch (error) {
        if (lock.isHeld || !(error instanceof Refusal) || error.kind !== "localIo" || Date.now() > endMs)
          throw error;
      }
    }
  }
}

function isSame(a: TreeEntry, b: TreeEntry): boolean {
  return a === b || Buffer.compare(encodeEntry(a), encodeEntry(b)) === 0;
}
