// SPDX-License-Identifier: MIT
/**
 * Takes new chunks, fills packs with them and sends the packs to every target device, several at a time. Memory is a
 * fixed number of pack buffers: when all are on their way, `store` waits.
 *
 * A pack goes to the journal before it goes to a device. A pack of an earlier, interrupted push is filled again from the
 * same chunks in the same order (its *plan*) and so gets the same bytes and the same id: the device goes on in it. Where
 * another version of the compressor made it, it becomes a pack of another id, and what the device has of the old one is left
 * to it.
 */

import { setImmediate as turn } from "node:timers/promises";
import type { BlobDevice } from "./blob-device";
import type { ChunkCipher } from "./chunk-cipher";
import type { ChunkIndex, IndexedPack } from "./chunk-index";
import { EntrySet } from "./entry-set";
import type { PushJournal } from "./journal";
import { type BuiltPack, type PackBuffer, PackBuilder, packCapacity } from "./pack-builder";
import { MAX_DEVICES, type Pack, type PackStream, streamFor } from "./pack-format";
import { PackSealer, THREAD_BYTES } from "./pack-sealer";
import { ChunkKind, type RepositoryKeys } from "./repository-keys";

const BUFFER_MEMORY_BYTES = 48 * 1024 * 1024;
const MIN_BUFFERS = 4;
/** Many small packs under way keep a device busier than a few large ones: each has a window of its own. */
const MAX_BUFFERS = 11;
/** Packs of different sorts (stream, devices that lack the chunks) being filled at once. */
const MAX_FILLING = 3;
/** Packs of interrupted pushes that are looked at in one go. */
const RESUMED_AT_ONCE = 100;
/** Far more than were under way when a push was interrupted; the one that is not taken up again is sent from its start. */
const MAX_PLANS = 64;
/** Ids asked about in one go when a pack is met for the first time. */
const CONFIRM_AHEAD = 100;

interface Filling {
  builder: PackBuilder;
  /** The devices that it is for: a bit for each target. */
  mask: number;
  ids: Set<string>;
  /** The pack that this one is to become again, as long as its chunks come in their order. */
  plan: Pack | undefined;
  /** Targets whose copy of the very same pack was found damaged: they would take it for the new one. */
  distrusted: readonly BlobDevice[];
}

export class PackUploader {
  /** Packs that are in no entry yet, by their numbers in the index, and the devices that have them. */
  readonly packs = new Map<number, ReadonlySet<string>>();
  newChunks = 0;
  storedBytes = 0;
  sentBytes = 0;
  readonly #keys: RepositoryKeys;
  readonly #cipher: ChunkCipher;
  readonly #index: ChunkIndex;
  readonly #targets: readonly BlobDevice[];
  readonly #everyTarget: number;
  readonly #targetBytes: number;
  readonly #variant: number;
  readonly #journal: PushJournal | undefined;
  readonly #onWarning: (text: string) => void;
  readonly #onSealed: ((kind: ChunkKind, id: Uint8Array, sealed: Uint8Array) => void) | undefined;
  readonly #free: PackBuffer[] = [];
  #buffers = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #filling = new Map<string, Filling>();
  /** Full, and not in the index yet because they have no id yet. */
  readonly #sealing = new Set<Filling>();
  readonly #sealer: PackSealer;
  readonly #sending = new Set<Promise<void>>();
  /** By the id of their first chunk. */
  readonly #plans = new Map<string, Pack>();
  /** Numbers of packs that the targets were asked about, or have taken. */
  readonly #confirmed = new EntrySet();
  readonly #namesByMask = new Map<number, ReadonlySet<string>>();
  #failure: { error: unknown } | undefined;

  constructor(options: {
    keys: RepositoryKeys;
    cipher: ChunkCipher;
    index: ChunkIndex;
    targets: readonly BlobDevice[];
    targetBytes: number;
    /**
     * Not 0 while packs are condemned: a pack of the same chunks as a condemned one must not have its name, or it would
     * be deleted with it.
     */
    variant: number;
    journal?: PushJournal;
    onWarning: (text: string) => void;
    /** Called with every sealed chunk that is not data. The bytes are valid during the call. */
    onSealed?: (kind: ChunkKind, id: Uint8Array, sealed: Uint8Array) => void;
  }) {
    this.#keys = options.keys;
    this.#cipher = options.cipher;
    this.#sealer = new PackSealer(options.keys, options.cipher);
    this.#index = options.index;
    this.#targets = options.targets;
    if (options.targets.length > MAX_DEVICES)
      throw new RangeError(`targets: expected 1..${String(MAX_DEVICES)}`);
    this.#everyTarget = maskOf(options.targets, () => true);
    this.#targetBytes = options.targetBytes;
    this.#variant = options.variant;
    this.#journal = options.journal;
    this.#onWarning = options.onWarning;
    this.#onSealed = options.onSealed;
  }

  /** Packs of interrupted pushes: where they are they count as stored; else they are built again when their chunks come. */
  async resume(packs: Iterable<Pack>): Promise<void> {
    // While packs are condemned, one of an interrupted push may be among them: nothing is taken over then.
    if (this.#variant !== 0) return;
    let group: Pack[] = [];
    for (const pack of packs) {
      group.push(pack);
      if (group.length < RESUMED_AT_ONCE) continue;
      await this.#resume(group);
      group = [];
    }
    if (group.length > 0) await this.#resume(group);
  }

  async #resume(packs: readonly Pack[]): Promise<void> {
    const ids = packs.map((pack) => pack.id);
    const answers = await Promise.all(this.#targets.map((target) => target.has(ids)));
    packs.forEach((pack, i) => {
      const mask = maskOf(
        this.#targets,
        (target, at) => answers[at]?.[i] === true && !this.#index.isLost(pack.id, target.name),
      );
      if (mask !== 0) {
        const devices = this.#names(mask);
        const isNew = !this.#index.packById(pack.id);
        const { number } = this.#index.add(pack, devices);
        if (isNew) this.packs.set(number, devices);
        this.#confirmed.add(number);
      }
      const first = pack.chunks.idOf(0);
      if (first && mask !== this.#everyTarget && pack.sizeBytes <= packCapacity(this.#targetBytes))
        this.#plans.set(key(first), pack);
    });
    for (const oldest of this.#plans.keys()) {
      if (this.#plans.size <= MAX_PLANS) break;
      this.#plans.delete(oldest);
    }
  }

  /** Whether every target has this chunk, or will have when the packs under way are through. */
  async isStored(kind: ChunkKind, id: Uint8Array): Promise<boolean> {
    return (await this.#lacking(kind, id)) === 0;
  }

  /** The same from memory alone, without asking the targets whether they still have what they acknowledged. */
  isRecorded(kind: ChunkKind, id: Uint8Array): boolean {
    return this.#unrecorded(kind, id, () => true) === 0;
  }

  /** Stores a chunk on the targets that lack it, or on those `among` them. Waits only for a free buffer. */
  async offer(
    kind: ChunkKind,
    id: Uint8Array,
    plaintext: Uint8Array,
    among?: ReadonlySet<string>,
  ): Promise<void> {
    const wanted = among ? maskOf(this.#targets, (target) => among.has(target.name)) : this.#everyTarget;
    const mask = (await this.#lacking(kind, id)) & wanted;
    if (mask !== 0) await this.#store(kind, id, plaintext, mask);
  }

  async #store(kind: ChunkKind, id: Uint8Array, plaintext: Uint8Array, mask: number): Promise<void> {
    this.#throwFailure();
    const filling = await this.#fillingFor(streamFor(kind), mask, id, plaintext.length);
    filling.builder.add(kind, id, plaintext);
    if (filling.builder.filledBytes >= THREAD_BYTES) this.#sealer.prepare();
    filling.ids.add(key(id));
    this.newChunks++;
    if (kind !== ChunkKind.data) this.#onSealed?.(kind, id, filling.builder.lastSealed);
    if (filling.builder.chunkCount === filling.plan?.chunks.length) await this.#finish(filling);
  }

  /** Sends what is left and waits until every target has every pack. */
  async flush(): Promise<void> {
    for (const filling of [...this.#filling.values()]) await this.#finish(filling);
    while (this.#sending.size > 0) await Promise.all([...this.#sending]);
    this.#sealer.close();
    this.#throwFailure();
  }

  /** After a failure: waits for what is under way and takes back what the index was told too early. */
  async abandon(): Promise<void> {
    this.#failure ??= { error: new Error("abandoned") };
    this.#wakeAll();
    while (this.#sending.size > 0) await Promise.allSettled([...this.#sending]);
    this.#sealer.close();
  }

  async #fillingFor(
    stream: PackStream,
    mask: number,
    id: Uint8Array,
    plaintextBytes: number,
  ): Promise<Filling> {
    const sort = sortOf(stream, mask);
    const present = this.#filling.get(sort);
    if (present?.plan) {
      const planned = present.plan.chunks.idOf(present.builder.chunkCount);
      if (planned && key(planned) === key(id) && present.builder.hasRoom(plaintextBytes)) return present;
      // A file changed since, or packs are smaller now: from here on it is a pack like any other.
      present.plan = undefined;
    }
    const plan = this.#plans.get(key(id));
    if (present && !plan && present.builder.fits(plaintextBytes)) return present;
    if (present) await this.#finish(present);
    for (const [, oldest] of this.#filling) {
      if (this.#filling.size < MAX_FILLING) break;
      await this.#finish(oldest);
    }
    if (plan) this.#plans.delete(key(id));
    const builder = new PackBuilder({
      stream,
      keys: this.#keys,
      cipher: this.#cipher,
      buffer: await this.#buffer(),
      targetBytes: this.#targetBytes,
      variant: this.#variant,
    });
    const filling: Filling = {
      builder,
      mask,
      ids: new Set(),
      plan: plan?.stream === stream ? plan : undefined,
      distrusted: [],
    };
    this.#filling.set(sort, filling);
    return filling;
  }

  async #finish(filling: Filling): Promise<void> {
    this.#filling.delete(sortOf(filling.builder.stream, filling.mask));
    this.#sealing.add(filling);
    const sending = this.#seal(filling)
      .then((sealed) => (sealed ? this.#send(sealed.built, sealed.pack, filling) : undefined))
      .finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
    await turn();
  }

  /** Never rejects, like `#send`: nothing without a failure. */
  async #seal(filling: Filling): Promise<{ built: BuiltPack; pack: IndexedPack } | undefined> {
    try {
      const built = await this.#sealer.seal(filling.builder.close());
      this.#journal?.pack(built);
      filling.distrusted = this.#targets.filter((target) => this.#index.isLost(built.id, target.name));
      const pack = this.#index.add(built, this.#names(filling.mask));
      this.#confirmed.add(pack.number);
      return { built, pack };
    } catch (error) {
      this.#failure ??= { error };
      this.#wakeAll();
      return undefined;
    } finally {
      this.#sealing.delete(filling);
    }
  }

  /** Never rejects: the first failure is kept and thrown by the next call from outside. */
  async #send(built: BuiltPack, pack: IndexedPack, filling: Filling): Promise<void> {
    let reached = 0;
    const targets = this.#targets.filter((_, i) => (filling.mask & (1 << i)) !== 0);
    const results = await Promise.allSettled(
      targets.map(async (target) => {
        if (filling.distrusted.includes(target)) await target.delete([built.id]);
        const { wasStored, sentBytes } = await target.put(built.id, [built.bytes]);
        this.sentBytes += wasStored ? 0 : sentBytes;
        reached |= 1 << this.#targets.indexOf(target);
      }),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed) {
      this.#failure ??= { error: failed.reason };
      pack.devices = this.#names(reached);
    } else {
      this.#record(pack, this.#names(reached));
      this.storedBytes += built.sizeBytes;
    }
    this.#free.push(built.buffer);
    if (this.#failure) this.#wakeAll();
    else this.#waiting.shift()?.();
  }

  #record({ number }: IndexedPack, devices: ReadonlySet<string>): void {
    const known = this.packs.get(number);
    this.packs.set(number, known ? new Set([...known, ...devices]) : devices);
  }

  async #buffer(): Promise<PackBuffer> {
    const capacity = packCapacity(this.#targetBytes);
    const limit = Math.min(MAX_BUFFERS, Math.max(MIN_BUFFERS, Math.floor(BUFFER_MEMORY_BYTES / capacity)));
    for (;;) {
      this.#throwFailure();
      const free = this.#free.pop();
      if (free) return free;
      if (this.#buffers < limit) {
        this.#buffers++;
        return new Uint8Array(new SharedArrayBuffer(capacity));
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Targets that have this chunk neither now nor when the packs under way are through. */
  async #lacking(kind: ChunkKind, id: Uint8Array): Promise<number> {
    for (;;) {
      let unconfirmed: IndexedPack | undefined;
      const isConfirmed = (pack: IndexedPack): boolean => {
        if (this.#confirmed.has(pack.number)) return true;
        unconfirmed = pack;
        return false;
      };
      const mask = this.#unrecorded(kind, id, isConfirmed);
      if (mask === 0 || !unconfirmed) return mask;
      await this.#confirm(unconfirmed);
    }
  }

  #unrecorded(kind: ChunkKind, id: Uint8Array, counts: (pack: IndexedPack) => boolean): number {
    let mask = this.#everyTarget;
    const idKey = key(id);
    for (const filling of this.#filling.values()) if (filling.ids.has(idKey)) mask &= ~filling.mask;
    for (const filling of this.#sealing) if (filling.ids.has(idKey)) mask &= ~filling.mask;
    if (mask === 0) return 0;
    const isEnough = (pack: IndexedPack): boolean => {
      if (pack.isCondemned) return false;
      const has = maskOf(this.#targets, (target) => pack.devices.has(target.name));
      if ((has & mask) !== 0 && counts(pack)) mask &= ~has;
      return mask === 0;
    };
    this.#index.some(id, isEnough, kind);
    return mask;
  }

  #names(mask: number): ReadonlySet<string> {
    const known = this.#namesByMask.get(mask);
    if (known) return known;
    const names = new Set(this.#targets.filter((_, i) => (mask & (1 << i)) !== 0).map(({ name }) => name));
    this.#namesByMask.set(mask, names);
    return names;
  }

  /** Asks the targets whether they still have a pack, and about its neighbours in the same request. */
  async #confirm(pack: IndexedPack): Promise<void> {
    const asked: IndexedPack[] = [];
    for (const other of this.#index.packs(pack.number)) {
      if (other.number >= pack.number + CONFIRM_AHEAD) break;
      if (!this.#confirmed.has(other.number)) asked.push(other);
    }
    const ids = asked.map((other) => other.id);
    const answers = await Promise.all(this.#targets.map((target) => target.has(ids)));
    asked.forEach((other, i) => {
      this.#confirmed.add(other.number);
      const lost = this.#targets.filter(
        (target, at) => other.devices.has(target.name) && answers[at]?.[i] !== true,
      );
      for (const target of lost) {
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

function maskOf(targets: readonly BlobDevice[], test: (target: BlobDevice, at: number) => boolean): number {
  let mask = 0;
  for (let i = 0; i < targets.length; i++) {
    const target = targets[i];
    if (target && test(target, i)) mask |= 1 << i;
  }
  return mask;
}

function sortOf(stream: PackStream, mask: number): string {
  return `${String(stream)} ${String(mask)}`;
}

function key(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
}
