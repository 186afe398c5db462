// SPDX-License-Identifier: MIT
/**
 * Fetches many chunks at once: neighbours in a pack come with one request, several requests are under way, and every
 * chunk is opened as it arrives, by a thread if there is one. A chunk that is damaged or missing in its place is looked
 * for in every other.
 */

import type { BlobDevice } from "./blob-device";
import { CHUNK_ID_BYTES, type ChunkCipher } from "./chunk-cipher";
import type { Location } from "./chunk-index";
import type { ChunkOpener } from "./chunk-opener";
import { NOT_OPENED } from "./chunk-opening";
import type { ChunkReader } from "./chunk-reader";
import { MAX_CHUNK_BYTES } from "./chunker";
import { YoungCollector } from "./collect-young";
import { Refusal } from "../refusal";
import { ChunkKind } from "./repository-keys";

/** Bytes between two chunks that are fetched along rather than asked for separately. */
const GAP_BYTES = 64 * 1024;
/** A window of a pull in one request, where its chunks are neighbours. */
const MAX_RANGE_BYTES = 4 * 1024 * 1024;
/** Requests of one fetch. */
const PARALLEL = 4;

/** Plaintext is put into buffers of this size that are used again and again; it holds at least one chunk. */
const SLAB_BYTES = MAX_CHUNK_BYTES;
/** Put out by ciphers before their garbage is collected. */
const GARBAGE_BYTES = 16 * 1024 * 1024;

export interface FetchedChunks {
  /** By id (one character a byte): the plaintext, or why there is none. */
  chunks: Map<string, Uint8Array | Refusal>;
  /** The plaintexts are not needed any more. */
  release(): void;
}

/** Within reach of the thread that opens. */
type Shared = Uint8Array<SharedArrayBuffer>;

/** Room for the plaintexts of one fetch, taken from slabs. */
class Arena {
  readonly slabs: Shared[] = [];
  readonly #free: Shared[];
  /** Of the last slab. */
  usedBytes = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(free: Shared[]) {
    this.#free = free;
  }

  /** One range after the other: where there is room for the next is known when the one before is opened. */
  async inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  get slab(): Shared {
    return this.slabs.at(-1) ?? this.#addSlab();
  }

  take(length: number): Buffer {
    if (this.usedBytes + length > this.slab.length) this.#addSlab();
    this.usedBytes += length;
    return this.at(this.usedBytes - length, length);
  }

  at(from: number, length: number): Buffer {
    return Buffer.from(this.slab.buffer, from, length);
  }

  #addSlab(): Shared {
    const slab = this.#free.pop() ?? new Uint8Array(new SharedArrayBuffer(SLAB_BYTES));
    this.slabs.push(slab);
    this.usedBytes = 0;
    return slab;
  }
}

interface Wanted {
  id: Uint8Array;
  location: Location;
}

interface Range {
  device: BlobDevice;
  chunks: Wanted[];
  from: number;
  end: number;
}

export class ChunkFetcher {
  receivedBytes = 0;
  readonly #garbage = new YoungCollector(GARBAGE_BYTES);
  readonly #freeSlabs: Shared[] = [];
  /** What ranges are received into: at most PARALLEL for each fetch under way. */
  readonly #freeRanges: Shared[] = [];
  readonly #cipher: ChunkCipher;
  readonly #reader: ChunkReader;
  readonly #opener: ChunkOpener | undefined;
  readonly #onReceived: () => void;
  readonly #signal: AbortSignal | undefined;

  constructor(options: {
    cipher: ChunkCipher;
    reader: ChunkReader;
    /** The caller's. */
    opener?: ChunkOpener;
    onReceived: () => void;
    signal?: AbortSignal | undefined;
  }) {
    this.#cipher = options.cipher;
    this.#reader = options.reader;
    this.#opener = options.opener;
    this.#onReceived = options.onReceived;
    this.#signal = options.signal;
  }

  /** Data chunks. Rejects only for what concerns everything: no connection, interrupted. */
  async fetch(ids: readonly Uint8Array[]): Promise<FetchedChunks> {
    const found: FetchedChunks["chunks"] = new Map();
    const arena = new Arena(this.#freeSlabs);
    const wanted = new Map<string, Wanted>();
    const alone: Uint8Array[] = [];
    for (const id of ids) {
      const key = chunkKey(id);
      if (wanted.has(key)) continue;
      const location = this.#reader.bestLocation(ChunkKind.data, id);
      if (location) wanted.set(key, { id, location });
      else alone.push(id);
    }
    const ranges = this.#ranges([...wanted.values()]);
    const worker = async (): Promise<void> => {
      for (let range = ranges.shift(); range; range = ranges.shift())
        await this.#fetchRange(range, arena, found, alone);
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    for (const id of alone) found.set(chunkKey(id), await this.#fetchAlone(id));
    return {
      chunks: found,
      release: () => {
        found.clear();
        this.#freeSlabs.push(...arena.slabs.splice(0));
      },
    };
  }

  #ranges(wanted: Wanted[]): Range[] {
    const ranges: Range[] = [];
    const byPack = new Map<number, Wanted[]>();
    for (const chunk of wanted) {
      const others = byPack.get(chunk.location.pack.number);
      if (others) others.push(chunk);
      else byPack.set(chunk.location.pack.number, [chunk]);
    }
    for (const chunks of byPack.values()) {
      chunks.sort((a, b) => a.location.offsetBytes - b.location.offsetBytes);
      let range: Range | undefined;
      for (const chunk of chunks) {
        const { pack, offsetBytes, sealedBytes } = chunk.location;
        const end = offsetBytes + sealedBytes;
        if (range && offsetBytes - range.end <= GAP_BYTES && end - range.from <= MAX_RANGE_BYTES) {
          range.chunks.push(chunk);
          range.end = end;
          continue;
        }
        const device = this.#reader.deviceFor(pack);
        if (!device) continue;
        range = { device, chunks: [chunk], from: offsetBytes, end };
        ranges.push(range);
      }
    }
    return ranges;
  }

  async #fetchRange(
    range: Range,
    arena: Arena,
    found: FetchedChunks["chunks"],
    failed: Uint8Array[],
  ): Promise<void> {
    const { device, chunks, from, end } = range;
    const [first] = chunks;
    if (!first) return;
    this.#signal?.throwIfAborted();
    // One chunk alone may be larger.
    const into = end - from <= MAX_RANGE_BYTES ? this.#rangeBuffer() : undefined;
    let bytes: Uint8Array;
    try {
      bytes = await device.get(first.location.pack.id, from, end - from, into);
    } catch (error) {
      if (into) this.#freeRanges.push(into);
      if (!(error instanceof Refusal) || error.kind === "interrupted") throw error;
      failed.push(...chunks.map((chunk) => chunk.id));
      return;
    }
    this.receivedBytes += bytes.length;
    await arena.inTurn(async () => {
      const opened = await this.#openAside(range, bytes, arena);
      chunks.forEach(({ id, location: { offsetBytes, sealedBytes } }, i) => {
        try {
          const sealed = bytes.subarray(offsetBytes - from, offsetBytes - from + sealedBytes);
          const plaintext =
            opened[i] ?? this.#cipher.open(ChunkKind.data, id, sealed, (length) => arena.take(length));
          found.set(chunkKey(id), plaintext);
        } catch {
          failed.push(id);
        }
      });
    });
    if (into) this.#freeRanges.push(into);
    this.#garbage.passed(bytes.length);
    this.#onReceived();
  }

  /** By the thread: the plaintexts of the chunks that it could open. */
  async #openAside(
    { chunks, from }: Range,
    bytes: Uint8Array,
    arena: Arena,
  ): Promise<readonly (Buffer | undefined)[]> {
    if (!this.#opener?.isReady || !isShared(bytes)) return [];
    const ids = new Uint8Array(chunks.length * CHUNK_ID_BYTES);
    const places = new Uint32Array(chunks.length * 2);
    chunks.forEach(({ id, location }, i) => {
      ids.set(id, i * CHUNK_ID_BYTES);
      places.set([location.offsetBytes - from, location.sealedBytes], 2 * i);
    });
    const { slab, usedBytes } = arena;
    const opened = await this.#opener.open({ bytes, ids, places, slab, usedBytes });
    if (!opened) return [];
    arena.usedBytes = opened.usedBytes;
    return chunks.map((_, i) => {
      const at = opened.places[2 * i] ?? NOT_OPENED;
      return at === NOT_OPENED ? undefined : arena.at(at, opened.places[2 * i + 1] ?? 0);
    });
  }

  #rangeBuffer(): Shared {
    return this.#freeRanges.pop() ?? new Uint8Array(new SharedArrayBuffer(MAX_RANGE_BYTES));
  }

  async #fetchAlone(id: Uint8Array): Promise<Uint8Array | Refusal> {
    this.#signal?.throwIfAborted();
    try {
      return await this.#reader.read(ChunkKind.data, id);
    } catch (error) {
      if (error instanceof Refusal && (error.kind === "corruptedBlob" || error.kind === "missingBlob"))
        return error;
      throw error;
    }
  }
}

function isShared(bytes: Uint8Array): bytes is Shared {
  return bytes.buffer instanceof SharedArrayBuffer;
}

export function chunkKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("latin1");
}
