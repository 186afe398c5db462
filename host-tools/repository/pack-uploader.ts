// SPDX-License-Identifier: MIT
/**
 * Takes new chunks, fills packs with them and sends the packs to every target device, several at a time. Memory is a
 * fixed number of pack buffers: when all are on their way, `store` waits.
 *
 * A pack goes to the journal before it goes to a device. A pack of an earlier, interrupted push is filled again from the
 * same chunks in the same order (its *plan*) and so gets the same bytes and the same id: the device goes on in it.
 */

import { setImmediate as turn } from "node:timers/promises";
import type { BlobDevice } from "./blob-device";
import type { ChunkCipher } from "./chunk-cipher";
import type { ChunkIndex, IndexedPack } from "./chunk-index";
import type { PushJournal } from "./journal";
import { PackBuilder, type BuiltPack, packCapacity } from "./pack-builder";
import { type Pack, PackStream } from "./pack-format";
import { ChunkKind, type RepositoryKeys } from "./repository-keys";

const BUFFER_MEMORY_BYTES = 84 * 1024 * 1024;
const MIN_BUFFERS = 4;
const MAX_BUFFERS = 8;
/** Ids asked about in one go when a pack is met for the first time. */
const CONFIRM_AHEAD = 100;

interface Filling {
  builder: PackBuilder;
  ids: Set<string>;
  /** The pack that this one is to become again, as long as its chunks come in their order. */
  plan: Pack | undefined;
}

export class PackUploader {
  /** Packs that are on every target device, and in no entry yet. */
  readonly packs: Pack[] = [];
  newChunks = 0;
  storedBytes = 0;
  sentBytes = 0;
  readonly #keys: RepositoryKeys;
  readonly #cipher: ChunkCipher;
  readonly #index: ChunkIndex;
  readonly #targets: readonly BlobDevice[];
  readonly #targetNames: ReadonlySet<string>;
  readonly #targetBytes: number;
  readonly #journal: PushJournal | undefined;
  readonly #onWarning: (text: string) => void;
  readonly #onSealed: ((kind: ChunkKind, id: Uint8Array, sealed: Uint8Array) => void) | undefined;
  readonly #free: Uint8Array[] = [];
  #buffers = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #filling = new Map<PackStream, Filling>();
  readonly #sending = new Set<Promise<void>>();
  /** By the id of their first chunk. */
  readonly #plans = new Map<string, Pack>();
  readonly #confirmed = new Set<IndexedPack>();
  #failure: { error: unknown } | undefined;

  constructor(options: {
    keys: RepositoryKeys;
    cipher: ChunkCipher;
    index: ChunkIndex;
    targets: readonly BlobDevice[];
    targetBytes: number;
    journal?: PushJournal;
    onWarning: (text: string) => void;
    /** Called with every sealed chunk that is not data. The bytes are valid during the call. */
    onSealed?: (kind: ChunkKind, id: Uint8Array, sealed: Uint8Array) => void;
  }) {
    this.#keys = options.keys;
    this.#cipher = options.cipher;
    this.#index = options.index;
    this.#targets = options.targets;
    this.#targetNames = new Set(options.targets.map((target) => target.name));
    this.#targetBytes = options.targetBytes;
    this.#journal = options.journal;
    this.#onWarning = options.onWarning;
    this.#onSealed = options.onSealed;
  }

  /** Packs of interrupted pushes: those on all targets count as stored, the others are built again when their chunks come. */
  async resume(packs: readonly Pack[]): Promise<void> {
    if (packs.length === 0) return;
    const ids = packs.map((pack) => pack.id);
    const answers = await Promise.all(this.#targets.map((target) => target.has(ids)));
    packs.forEach((pack, i) => {
      const isWhole = answers.every((answer) => answer[i] === true);
      const first = pack.chunks[0];
      if (isWhole) {
        if (!this.#index.packById(pack.id)) this.packs.push(pack);
        this.#index.add(pack, this.#targetNames);
        const indexed = this.#index.packById(pack.id);
        if (indexed) this.#confirmed.add(indexed);
      } else if (first && pack.sizeBytes <= packCapacity(this.#targetBytes)) this.#plans.set(key(first.id), pack);
    });
  }

  /** Whether every target has this chunk, or will have when the packs under way are through. */
  async isStored(id: Uint8Array): Promise<boolean> {
    for (const filling of this.#filling.values()) if (filling.ids.has(key(id))) return true;
    for (;;) {
      let unconfirmed: IndexedPack | undefined;
      const isKnown = this.#index.some(id, (pack) => {
        if (!this.#isOnAllTargets(pack)) return false;
        if (this.#confirmed.has(pack)) return true;
        unconfirmed = pack;
        return false;
      });
      if (isKnown) return true;
      if (!unconfirmed) return false;
      await this.#confirm(unconfirmed);
    }
  }

  /** Seals a chunk into the pack being filled. Waits only for a free buffer. */
  async store(kind: ChunkKind, id: Uint8Array, plaintext: Uint8Array): Promise<void> {
    this.#throwFailure();
    const stream = kind === ChunkKind.tree || kind === ChunkKind.detail ? PackStream.tree : PackStream.data;
    const filling = await this.#fillingFor(stream, id, plaintext.length);
    const copy = Uint8Array.from(id);
    filling.builder.add(kind, copy, plaintext);
    filling.ids.add(key(id));
    this.newChunks++;
    if (kind !== ChunkKind.data) this.#onSealed?.(kind, id, filling.builder.lastSealed);
    if (filling.builder.chunkCount === filling.plan?.chunks.length) await this.#finish(stream, filling);
  }

  /** Sends what is left and waits until every target has every pack. */
  async flush(): Promise<void> {
    for (const [stream, filling] of [...this.#filling]) await this.#finish(stream, filling);
    while (this.#sending.size > 0) await Promise.all([...this.#sending]);
    this.#throwFailure();
  }

  /** After a failure: waits for what is under way and takes back what the index was told too early. */
  async abandon(): Promise<void> {
    this.#failure ??= { error: new Error("abandoned") };
    this.#wakeAll();
    while (this.#sending.size > 0) await Promise.allSettled([...this.#sending]);
  }

  async #fillingFor(stream: PackStream, id: Uint8Array, plaintextBytes: number): Promise<Filling> {
    const present = this.#filling.get(stream);
    if (present?.plan) {
      const planned = present.plan.chunks[present.builder.chunkCount];
      if (planned && key(planned.id) === key(id)) return present;
      // A file changed since: from here on it is a pack like any other.
      present.plan = undefined;
    }
    const plan = this.#plans.get(key(id));
    if (present && !plan && present.builder.fits(plaintextBytes)) return present;
    if (present) await this.#finish(stream, present);
    if (plan) this.#plans.delete(key(id));
    const builder = new PackBuilder({
      stream,
      keys: this.#keys,
      cipher: this.#cipher,
      buffer: await this.#buffer(),
      targetBytes: this.#targetBytes,
    });
    const filling: Filling = { builder, ids: new Set(), plan: plan?.stream === stream ? plan : undefined };
    this.#filling.set(stream, filling);
    return filling;
  }

  async #finish(stream: PackStream, filling: Filling): Promise<void> {
    this.#filling.delete(stream);
    const built = filling.builder.finish();
    this.#journal?.pack(built);
    this.#index.add(built, this.#targetNames);
    const indexed = this.#index.packById(built.id);
    if (indexed) this.#confirmed.add(indexed);
    const sending = this.#send(built, filling.builder.buffer).finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
    await turn();
  }

  /** Never rejects: the first failure is kept and thrown by the next call from outside. */
  async #send(pack: BuiltPack, buffer: Uint8Array): Promise<void> {
    const reached = new Set<string>();
    const results = await Promise.allSettled(
      this.#targets.map(async (target) => {
        const { wasStored, sentBytes } = await target.put(pack.id, [pack.bytes]);
        this.sentBytes += wasStored ? 0 : sentBytes;
        reached.add(target.name);
      }),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed) {
      this.#failure ??= { error: failed.reason };
      const indexed = this.#index.packById(pack.id);
      if (indexed) indexed.devices = reached;
    } else {
      this.packs.push({ id: pack.id, stream: pack.stream, sizeBytes: pack.sizeBytes, chunks: pack.chunks });
      this.storedBytes += pack.sizeBytes;
    }
    this.#free.push(buffer);
    if (this.#failure) this.#wakeAll();
    else this.#waiting.shift()?.();
  }

  async #buffer(): Promise<Uint8Array> {
    const capacity = packCapacity(this.#targetBytes);
    const limit = Math.min(MAX_BUFFERS, Math.max(MIN_BUFFERS, Math.floor(BUFFER_MEMORY_BYTES / capacity)));
    for (;;) {
      this.#throwFailure();
      const free = this.#free.pop();
      if (free) return free;
      if (this.#buffers < limit) {
        this.#buffers++;
        return Buffer.allocUnsafeSlow(capacity);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #isOnAllTargets(pack: IndexedPack): boolean {
    for (const name of this.#targetNames) if (!pack.devices.has(name)) return false;
    return true;
  }

  /** Asks the targets whether they still have a pack, and about its neighbours in the same request. */
  async #confirm(pack: IndexedPack): Promise<void> {
    const from = this.#index.packs.indexOf(pack);
    const asked = this.#index.packs
      .slice(from, from + CONFIRM_AHEAD)
      .filter((other) => !this.#confirmed.has(other) && this.#isOnAllTargets(other));
    const ids = asked.map((other) => other.id);
    const answers = await Promise.all(this.#targets.map((target) => target.has(ids)));
    asked.forEach((other, i) => {
      const lacking = this.#targets.filter((_, target) => answers[target]?.[i] !== true);
      if (lacking.length === 0) this.#confirmed.add(other);
      for (const target of lacking) {
        const id = Buffer.from(other.id).toString("hex").slice(0, 16);
        this.#onWarning(`${target.name} has lost blob ${id}; what this push needs of it is stored again`);
        other.devices = new Set([...other.devices].filter((name) => name !== target.name));
      }
    });
  }

  #wakeAll(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

function key(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
}
