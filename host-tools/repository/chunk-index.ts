// SPDX-License-Identifier: MIT
/**
 * Where every chunk is: a hash table in typed arrays, 45 bytes a chunk, so that a million chunks (1 TiB, or as many
 * small files) take about 64 MiB. Ids are outputs of a keyed hash, so their first bytes serve as the hash. One chunk may
 * be in several packs.
 */

import { CHUNK_ID_BYTES } from "./chunk-cipher";
import type { EntryOrder } from "./entry-order";
import type { Pack, PackStream } from "./pack-format";
import type { PackedChunk } from "./packed-chunks";
import type { ChunkKind } from "./repository-keys";

/** That an entry, or a checkpoint in its place, said which devices have a pack. */
export interface Claim {
  body: EntryOrder;
  devices: ReadonlySet<string>;
}

export interface IndexedPack {
  readonly id: Uint8Array;
  readonly stream: PackStream;
  readonly sizeBytes: number;
  /** Names of the devices that said they have it. */
  devices: ReadonlySet<string>;
  /** It is going to be deleted: what is in it can be read, but nothing new may rely on it. */
  isCondemned: boolean;
  /** It was deleted on purpose. */
  isDropped: boolean;
  /** Shared by packs with the same ones, like `devices`. */
  claims: readonly Claim[];
  /** Of its chunks in the index. */
  readonly firstEntry: number;
  readonly chunkCount: number;
}

export interface Location {
  pack: IndexedPack;
  kind: ChunkKind;
  offsetBytes: number;
  sealedBytes: number;
}

const FIELDS = 4;

export class ChunkIndex {
  readonly packs: IndexedPack[] = [];
  readonly #packNumbers = new Map<string, number>();
  /** By pack: devices that had it and lost it. */
  readonly #lost = new Map<string, Set<string>>();
  /** Entry number + 1 in each slot; 0 is free. Never more than half full. */
  #slots = new Uint32Array(1024);
  #ids = Buffer.alloc(512 * CHUNK_ID_BYTES);
  /** Pack number, offset, sealed length, kind. */
  #fields = new Uint32Array(512 * FIELDS);
  #count = 0;

  /** Chunks, counted once for each pack that they are in. */
  get size(): number {
    return this.#count;
  }

  packById(id: Uint8Array): IndexedPack | undefined {
    const number = this.#packNumbers.get(packKey(id));
    return number === undefined ? undefined : this.packs[number];
  }

  /**
   * Sets the bit of a chunk in every pack that has it; `bits` has `size` bits. False when it was set before, undefined
   * when no pack has the chunk.
   */
  mark(id: Uint8Array, bits: Uint8Array): boolean | undefined {
    let isNew: boolean | undefined;
    for (let slot = this.#first(id); ; slot = (slot + 1) & (this.#slots.length - 1)) {
      const entry = (this.#slots[slot] ?? 0) - 1;
      if (entry < 0) return isNew;
      if (!this.#isId(entry, id)) continue;
      const bit = 1 << (entry & 7);
      const byte = bits[entry >> 3] ?? 0;
      isNew ??= false;
      if ((byte & bit) !== 0) continue;
      bits[entry >> 3] = byte | bit;
      isNew = true;
    }
  }

  /** Adds a pack and its chunks, or only the devices when it is known. `claims`: what says so, unless it was seen. */
  add(pack: Pack, devices: ReadonlySet<string>, claims: readonly Claim[] = []): void {
    const key = packKey(pack.id);
    const known = this.#packNumbers.get(key);
    const lost = this.#lost.get(key);
    if (lost) for (const name of devices) lost.delete(name);
    if (known !== undefined) {
      const indexed = this.packs[known];
      if (!indexed) return;
      indexed.isDropped = false;
      indexed.devices = union(indexed.devices, devices);
      if (claims.length > 0) indexed.claims = [...indexed.claims, ...claims];
      return;
    }
    const number = this.packs.length;
    this.packs.push({
      id: Uint8Array.from(pack.id),
      stream: pack.stream,
      sizeBytes: pack.sizeBytes,
      devices,
      isCondemned: false,
      isDropped: false,
      claims,
      firstEntry: this.#count,
      chunkCount: pack.chunks.length,
    });
    this.#packNumbers.set(key, number);
    const { bytes, length } = pack.chunks;
    this.#reserve(length);
    pack.chunks.each((idAt, kind, offsetBytes, sealedBytes) => {
      this.#insert(bytes, idAt, number, offsetBytes, sealedBytes, kind);
    });
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
    for (const pack of this.packs) {
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
    for (let slot = this.#first(id); ; slot = (slot + 1) & (this.#slots.length - 1)) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0) return undefined;
      if (this.#isId(entry - 1, id)) return entry - 1;
    }
  }

  /** Whether some pack with this chunk satisfies the test. */
  some(id: Uint8Array, test: (pack: IndexedPack) => boolean): boolean {
    for (let slot = this.#first(id); ; slot = (slot + 1) & (this.#slots.length - 1)) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0) return false;
      if (!this.#isId(entry - 1, id)) continue;
      const pack = this.packs[this.#fields[(entry - 1) * FIELDS] ?? 0];
      if (pack && test(pack)) return true;
    }
  }

  has(id: Uint8Array): boolean {
    return this.some(id, () => true);
  }

  locations(id: Uint8Array): Location[] {
    const found: Location[] = [];
    for (let slot = this.#first(id); ; slot = (slot + 1) & (this.#slots.length - 1)) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0) return found;
      if (!this.#isId(entry - 1, id)) continue;
      const at = (entry - 1) * FIELDS;
      const pack = this.packs[this.#fields[at] ?? 0];
      if (!pack) continue;
      found.push({
        pack,
        offsetBytes: this.#fields[at + 1] ?? 0,
        sealedBytes: this.#fields[at + 2] ?? 0,
        kind: (this.#fields[at + 3] ?? 0) as ChunkKind,
      });
    }
  }

  /** The chunks of a pack in their order. */
  chunksOf(pack: IndexedPack): PackedChunk[] {
    const chunks: PackedChunk[] = [];
    for (let entry = pack.firstEntry; entry < pack.firstEntry + pack.chunkCount; entry++)
      chunks.push({
        id: this.#ids.subarray(entry * CHUNK_ID_BYTES, (entry + 1) * CHUNK_ID_BYTES),
        offsetBytes: this.#fields[entry * FIELDS + 1] ?? 0,
        sealedBytes: this.#fields[entry * FIELDS + 2] ?? 0,
        kind: (this.#fields[entry * FIELDS + 3] ?? 0) as ChunkKind,
      });
    return chunks;
  }

  /** The id is in `bytes` from `idAt` on. There is room for it. */
  #insert(
    bytes: Uint8Array,
    idAt: number,
    packNumber: number,
    offsetBytes: number,
    sealedBytes: number,
    kind: number,
  ): void {
    const entry = this.#count++;
    const ids = this.#ids;
    const to = entry * CHUNK_ID_BYTES;
    // A loop is faster than any call for so few bytes.
    for (let i = 0; i < CHUNK_ID_BYTES; i++) ids[to + i] = bytes[idAt + i] ?? 0;
    const fields = this.#fields;
    const at = entry * FIELDS;
    fields[at] = packNumber;
    fields[at + 1] = offsetBytes;
    fields[at + 2] = sealedBytes;
    fields[at + 3] = kind;
    this.#place(entry);
  }

  #place(entry: number): void {
    const slots = this.#slots;
    let slot = this.#first(this.#ids, entry * CHUNK_ID_BYTES);
    while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1);
    slots[slot] = entry + 1;
  }

  /** Room for so many more. */
  #reserve(count: number): void {
    let slots = this.#slots.length;
    while ((this.#count + count) * 2 > slots) slots *= 2;
    if (slots === this.#slots.length) return;
    this.#slots = new Uint32Array(slots);
    const ids = Buffer.alloc((slots / 2) * CHUNK_ID_BYTES);
    this.#ids.copy(ids, 0, 0, this.#count * CHUNK_ID_BYTES);
    this.#ids = ids;
    const fields = new Uint32Array((slots / 2) * FIELDS);
    fields.set(this.#fields.subarray(0, this.#count * FIELDS));
    this.#fields = fields;
    for (let entry = 0; entry < this.#count; entry++) this.#place(entry);
  }

  #first(id: Uint8Array, at = 0): number {
    const hash =
      (id[at] ?? 0) | ((id[at + 1] ?? 0) << 8) | ((id[at + 2] ?? 0) << 16) | ((id[at + 3] ?? 0) << 24);
    return hash & (this.#slots.length - 1);
  }

  #isId(entry: number, id: Uint8Array): boolean {
    const at = entry * CHUNK_ID_BYTES;
    return this.#ids.compare(id, 0, CHUNK_ID_BYTES, at, at + CHUNK_ID_BYTES) === 0;
  }
}

function packKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
}

function union(a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> {
  for (const name of b) if (!a.has(name)) return new Set([...a, ...b]);
  return a;
}
