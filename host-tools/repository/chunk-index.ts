// SPDX-License-Identifier: MIT
/**
 * Where every chunk is: which packs there are, what is in them and who has them. In bounded memory, however many they
 * are: see record-table.ts. One chunk may be in several packs.
 *
 * What is in packs of stream data is taken up when it is asked for: nearly all chunks are there, and a command that looks
 * at folders only needs none of them.
 */

import type { EntryOrder } from "./entry-order";
import type { EntrySet } from "./entry-set";
import { type Pack, PackStream, streamFor } from "./pack-format";
import { type PackedChunk, PackedChunks, chunkListBytes } from "./packed-chunks";
import { RecordTable } from "./record-table";
import type { ChunkKind } from "./repository-keys";
import { Spool } from "./spool";

/** That an entry, or a checkpoint in its place, said which devices have a pack. */
export interface Claim {
  body: EntryOrder;
  devices: ReadonlySet<string>;
}

export interface Location {
  pack: IndexedPack;
  offsetBytes: number;
  sealedBytes: number;
}

const ChunkField = { pack: 0, offsetBytes: 1, sealedBytes: 2, kind: 3 } as const;
const PackField = {
  stream: 0,
  sizeBytes: 1,
  firstEntry: 2,
  chunkCount: 3,
  devices: 4,
  claims: 5,
  isCondemned: 6,
  isDropped: 7,
} as const;

/** Values that many packs share, by number. */
class SharedValues<Value> {
  readonly #values: Value[] = [];
  readonly #numbers = new Map<string | Value, number>();

  /** `key`: the same for equal values. */
  numberOf(value: Value, key: string | Value = value): number {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#values.push(value) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }

  at(number: number): Value {
    return this.#values[number] as Value;
  }
}

class Packs {
  readonly records: RecordTable;
  readonly deviceSets = new SharedValues<ReadonlySet<string>>();
  readonly claimLists = new SharedValues<readonly Claim[]>();

  constructor(folder: string, maxRecent: number | undefined) {
    const fields = Object.keys(PackField).length;
    this.records = new RecordTable({ fields, folder, ...(maxRecent === undefined ? {} : { maxRecent }) });
  }

  devicesNumber(devices: ReadonlySet<string>): number {
    return this.deviceSets.numberOf(devices, [...devices].sort().join("\0"));
  }
}

/** A pack in the index. There may be several of these for one pack: `number` tells which one it is. */
export class IndexedPack {
  readonly number: number;
  readonly #packs: Packs;

  constructor(packs: Packs, number: number) {
    this.#packs = packs;
    this.number = number;
  }

  get id(): Uint8Array {
    return this.#packs.records.idOf(this.number);
  }

  get stream(): PackStream {
    return this.#get(PackField.stream) as PackStream;
  }

  get sizeBytes(): number {
    return this.#get(PackField.sizeBytes);
  }

  get chunkCount(): number {
    return this.#get(PackField.chunkCount);
  }

  /** Names of the devices that said they have it. */
  get devices(): ReadonlySet<string> {
    return this.#packs.deviceSets.at(this.#get(PackField.devices));
  }

  set devices(devices: ReadonlySet<string>) {
    this.#set(PackField.devices, this.#packs.devicesNumber(devices));
  }

  get claims(): readonly Claim[] {
    return this.#packs.claimLists.at(this.#get(PackField.claims));
  }

  /** It is going to be deleted: what is in it can be read, but nothing new may rely on it. */
  get isCondemned(): boolean {
    return this.#get(PackField.isCondemned) !== 0;
  }

  set isCondemned(value: boolean) {
    this.#set(PackField.isCondemned, value ? 1 : 0);
  }

  /** It was deleted on purpose. */
  get isDropped(): boolean {
    return this.#get(PackField.isDropped) !== 0;
  }

  set isDropped(value: boolean) {
    this.#set(PackField.isDropped, value ? 1 : 0);
  }

  #get(field: number): number {
    return this.#packs.records.get(this.number, field);
  }

  #set(field: number, value: number): void {
    this.#packs.records.set(this.number, field, value);
  }
}

export class ChunkIndex {
  /** Of packs of stream tree; of the others once `#complete` was called. */
  readonly #chunks: RecordTable;
  readonly #packs: Packs;
  /** By pack: devices that had it and lost it. */
  readonly #lost = new Map<string, Set<string>>();
  /** The chunk lists of the packs of stream data, in the order of the packs; undefined once they were taken up. */
  #waiting: Spool | undefined;
  #failure: { error: unknown } | undefined;

  /** `folder`: for what does not fit in memory. `maxRecent`: chunks and packs in memory, for tests. */
  constructor(options: { folder: string; maxRecent?: number }) {
    const { folder, maxRecent } = options;
    this.#chunks = new RecordTable({ ...options, fields: Object.keys(ChunkField).length });
    this.#packs = new Packs(folder, maxRecent);
    this.#waiting = new Spool(folder);
  }

  close(): void {
    this.#waiting?.close();
    this.#chunks.close();
    this.#packs.records.close();
  }

  /** Chunks, counted once for each pack that they are in. */
  get size(): number {
    return this.#all.size;
  }

  get packCount(): number {
    return this.#packs.records.size;
  }

  /** All packs, or those from a number on. */
  *packs(from = 0): Generator<IndexedPack> {
    for (let number = from; number < this.packCount; number++) yield this.pack(number);
  }

  packById(id: Uint8Array): IndexedPack | undefined {
    const [number] = this.#packs.records.find(id);
    return number === undefined ? undefined : this.pack(number);
  }

  /** Adds a chunk to the set, in every pack that has it. False when it was there before, undefined when no pack has the chunk. */
  mark(id: Uint8Array, entries: EntrySet): boolean | undefined {
    let isNew: boolean | undefined;
    for (const entry of this.#all.find(id)) isNew = entries.add(entry) || isNew === true;
    return isNew;
  }

  /** Devices that have a pack which is known. */
  addDevices(pack: IndexedPack, devices: ReadonlySet<string>): void {
    const lost = this.#lost.get(packKey(pack.id));
    if (lost) for (const name of devices) lost.delete(name);
    pack.isDropped = false;
    pack.devices = union(pack.devices, devices);
  }

  /** Adds a pack and its chunks, or only the devices when it is known. `claims`: what says so, unless it was seen. */
  add(pack: Pack, devices: ReadonlySet<string>, claims: readonly Claim[] = NO_CLAIMS): IndexedPack {
    const { records, claimLists } = this.#packs;
    const known = this.packById(pack.id);
    if (known) {
      this.addDevices(known, devices);
      if (claims.length > 0) {
        const before = records.get(known.number, PackField.claims);
        const key = `${String(before)} ${String(claimLists.numberOf(claims))}`;
        records.set(known.number, PackField.claims, claimLists.numberOf([...known.claims, ...claims], key));
      }
      return known;
    }
    const lost = this.#lost.get(packKey(pack.id));
    if (lost) for (const name of devices) lost.delete(name);
    const waiting = pack.stream === PackStream.data ? this.#waiting : undefined;
    // Before the pack: if it fails, there is no pack without a list, after which all others would be those of others.
    waiting?.add(pack.chunks.bytes);
    const number = records.add(pack.id);
    records.set(number, PackField.stream, pack.stream);
    records.set(number, PackField.sizeBytes, pack.sizeBytes);
    records.set(number, PackField.chunkCount, pack.chunks.length);
    records.set(number, PackField.devices, this.#packs.devicesNumber(devices));
    records.set(number, PackField.claims, claimLists.numberOf(claims));
    if (!waiting) this.#takeUp(number, pack.chunks);
    return this.pack(number);
  }

  #takeUp(number: number, list: PackedChunks): void {
    const { bytes } = list;
    const chunks = this.#chunks;
    this.#packs.records.set(number, PackField.firstEntry, chunks.size);
    list.each((idAt, kind, offsetBytes, sealedBytes) => {
      const entry = chunks.add(bytes, idAt);
      chunks.set(entry, ChunkField.pack, number);
      chunks.set(entry, ChunkField.offsetBytes, offsetBytes);
      chunks.set(entry, ChunkField.sealedBytes, sealedBytes);
      chunks.set(entry, ChunkField.kind, kind);
    });
  }

  /** All chunks, also those that were not asked for before. */
  get #all(): RecordTable {
    this.#complete();
    return this.#chunks;
  }

  #complete(): void {
    if (this.#failure) throw this.#failure.error;
    const waiting = this.#waiting;
    if (!waiting) return;
    this.#waiting = undefined;
    try {
      for (const { number, stream, chunkCount } of this.packs())
        if (stream === PackStream.data)
          this.#takeUp(number, PackedChunks.again(waiting.next(chunkListBytes(chunkCount))));
    } catch (error) {
      // Some of them would pass for all.
      this.#failure = { error };
      throw error;
    } finally {
      waiting.close();
    }
  }

  /** The device has no good copy of the pack (or index blob): neither read nor counted on before it is stored there again. */
  lose(id: Uint8Array, device: string): void {
    const pack = this.packById(id);
    if (pack) pack.devices = new Set([...pack.devices].filter((name) => name !== device));
    const key = packKey(id);
    const lost = this.#lost.get(key);
    if (lost) lost.add(device);
    else this.#lost.set(key, new Set([device]));
  }

  /** Copies that are not to be believed. */
  *lostCopies(): Generator<{ device: string; id: Uint8Array }> {
    for (const [key, devices] of this.#lost)
      for (const device of devices) yield { device, id: Buffer.from(key, "latin1") };
  }

  /** Counts all packs as deleted but those that are to stay. */
  dropOthers(isToStay: (pack: IndexedPack) => boolean): void {
    for (const pack of this.packs()) {
      if (isToStay(pack)) continue;
      pack.devices = new Set();
      pack.isDropped = true;
      pack.isCondemned = false;
    }
  }

  /** What the device has under this id, if anything, is not to be believed. */
  isLost(id: Uint8Array, device: string): boolean {
    return this.#lost.get(packKey(id))?.has(device) === true;
  }

  /** A number below `size` that stands for this chunk as long as nothing is added; undefined when it is in no pack. */
  entryOf(id: Uint8Array): number | undefined {
    return this.#all.find(id)[0];
  }

  /** Whether some pack with this chunk satisfies the test; with `kind`, some pack that chunks of this kind go to. */
  some(id: Uint8Array, test: (pack: IndexedPack) => boolean, kind?: ChunkKind): boolean {
    for (const entry of this.#chunksFor(kind).find(id)) if (test(this.#packOf(entry))) return true;
    return false;
  }

  has(id: Uint8Array): boolean {
    return this.#all.find(id).length > 0;
  }

  /** Where a chunk is, as one of that kind: in other packs than it should be only if it is in none of these. */
  locations(kind: ChunkKind, id: Uint8Array): Location[] {
    const found = this.#locations(this.#chunksFor(kind), kind, id);
    return found.length > 0 ? found : this.#locations(this.#all, kind, id);
  }

  /** A table that has those of this kind. */
  #chunksFor(kind: ChunkKind | undefined): RecordTable {
    return kind !== undefined && streamFor(kind) === PackStream.tree ? this.#chunks : this.#all;
  }

  #locations(chunks: RecordTable, kind: ChunkKind, id: Uint8Array): Location[] {
    const entries = chunks.find(id).filter((entry) => chunks.get(entry, ChunkField.kind) === kind);
    return entries.map((entry) => ({
      pack: this.#packOf(entry),
      offsetBytes: chunks.get(entry, ChunkField.offsetBytes),
      sealedBytes: chunks.get(entry, ChunkField.sealedBytes),
    }));
  }

  /** The pack with the number that `IndexedPack.number` gave. */
  pack(number: number): IndexedPack {
    return new IndexedPack(this.#packs, number);
  }

  /** A pack as it was added. */
  packWithChunks(pack: IndexedPack): Pack {
    const { id, stream, sizeBytes } = pack;
    return { id, stream, sizeBytes, chunks: PackedChunks.of(this.chunksOf(pack)) };
  }

  /** Of the chunk with that number. */
  sealedBytesOf(entry: number): number {
    return this.#all.get(entry, ChunkField.sealedBytes);
  }

  /** The number of a pack's first chunk; those of the others follow. */
  firstEntryOf({ number, stream }: IndexedPack): number {
    if (stream === PackStream.data) this.#complete();
    return this.#packs.records.get(number, PackField.firstEntry);
  }

  /** The chunks of a pack in their order. */
  chunksOf(pack: IndexedPack): PackedChunk[] {
    const firstEntry = this.firstEntryOf(pack);
    const chunks: PackedChunk[] = [];
    for (let entry = firstEntry; entry < firstEntry + pack.chunkCount; entry++)
      chunks.push({
        id: this.#chunks.idOf(entry),
        offsetBytes: this.#chunks.get(entry, ChunkField.offsetBytes),
        sealedBytes: this.#chunks.get(entry, ChunkField.sealedBytes),
        kind: this.#chunks.get(entry, ChunkField.kind) as ChunkKind,
      });
    return chunks;
  }

  #packOf(entry: number): IndexedPack {
    return this.pack(this.#chunks.get(entry, ChunkField.pack));
  }
}

const NO_CLAIMS: readonly Claim[] = [];

function packKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
}

function union(a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> {
  for (const name of b) if (!a.has(name)) return new Set([...a, ...b]);
  return a;
}
