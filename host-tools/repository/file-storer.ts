// SPDX-License-Identifier: MIT
/**
 * Reads a local file, cuts it into chunks, stores those that are new and tells what the file consists of. Files that an
 * interrupted push had come through are taken from its journal: what is stored is neither read nor hashed again.
 */

import { close, closeSync, constants, open, openSync, read, readSync } from "node:fs";
import { promisify } from "node:util";
import { setImmediate as turn } from "node:timers/promises";
import { type ByteString, toBytes } from "./byte-names";
import type { ChunkCipher } from "./chunk-cipher";
import { ChunkWindow, type Piece, READ_BYTES } from "./chunk-window";
import type { Chunker } from "./chunker";
import { type ChunkItem, ContentBuilder, EMPTY_CONTENT, singleChunk } from "./content";
import type { PushJournal } from "./journal";
import { type LocalStat, fileKey, statOpenFile } from "./local-stat";
import type { PackUploader } from "./pack-uploader";
import { ChunkKind } from "./repository-keys";

const openFile = promisify(open);
const closeFile = promisify(close);

/** Read in one go, without waiting: cheaper than waiting for it, and over in a millisecond. */
const AT_ONCE_BYTES = 1024 * 1024;
/** Below the size of a hole: one chunk, whatever is in it. */
const SMALL_BYTES = 64 * 1024;
/** Where chunks go; a PackUploader for a push. */
export type ChunkSink = Pick<PackUploader, "offer" | "isStored">;

/** Work done without letting the network have its turn. */
const TURN_MS = 8;

export interface StoredFile {
  content: Uint8Array;
  sizeBytes: number;
  /** False when the file was written to while it was read. */
  isStable: boolean;
}

/** A file being stored: its descriptor, its number in the journal, and what it consists of so far. */
interface LargeFile {
  file: number;
  number: number;
  builder: ContentBuilder;
  sizeBytes: number;
}

export class FileStorer {
  hashedBytes = 0;
  readonly #cipher: ChunkCipher;
  readonly #uploader: ChunkSink;
  readonly #journal: Pick<PushJournal, "file" | "item">;
  readonly #known: (key: string) => Iterable<ChunkItem>;
  readonly #window: ChunkWindow;
  readonly #onBytes: (bytes: number) => void;
  readonly #signal: AbortSignal | undefined;
  #turnAtMs = 0;

  constructor(options: {
    cipher: ChunkCipher;
    chunker: Chunker;
    uploader: ChunkSink;
    journal: Pick<PushJournal, "file" | "item">;
    /** The chunks from a file's start on that an interrupted push has seen. */
    known: (key: string) => Iterable<ChunkItem>;
    onBytes: (bytes: number) => void;
    signal?: AbortSignal | undefined;
  }) {
    this.#cipher = options.cipher;
    this.#uploader = options.uploader;
    this.#journal = options.journal;
    this.#known = options.known;
    this.#window = new ChunkWindow(options.chunker);
    this.#onBytes = options.onBytes;
    this.#signal = options.signal;
  }

  /** Throws what Node throws when the file cannot be read. */
  async store(path: ByteString, stat: LocalStat): Promise<StoredFile> {
    if (stat.sizeBytes === 0) return { content: EMPTY_CONTENT, sizeBytes: 0, isStable: true };
    const key = fileKey(stat);
    const known = this.#known(key);
    if (stat.sizeBytes <= SMALL_BYTES) return this.#storeSmall(path, stat, key, known);
    return this.#storeLarge(path, stat, key, known);
  }

  async #storeSmall(
    path: ByteString,
    stat: LocalStat,
    key: string,
    known: Iterable<ChunkItem>,
  ): Promise<StoredFile> {
    const [only] = known;
    if (
      only?.id &&
      only.lengthBytes === stat.sizeBytes &&
      (await this.#uploader.isStored(ChunkKind.data, only.id))
    ) {
      this.#journal.item(this.#journal.file(key), only);
      this.#onBytes(stat.sizeBytes);
      return { content: singleChunk(only.id), sizeBytes: stat.sizeBytes, isStable: true };
    }
    if (performance.now() - this.#turnAtMs > TURN_MS) {
      await turn();
      this.#turnAtMs = performance.now();
    }
    const file = openSync(toBytes(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    let count: number;
    let isStable: boolean;
    try {
      count = readSync(file, this.#window.bytes, 0, stat.sizeBytes, 0);
      isStable = count === stat.sizeBytes && fileKey(statOpenFile(file)) === key;
    } finally {
      closeSync(file);
    }
    if (count === 0) return { content: EMPTY_CONTENT, sizeBytes: 0, isStable };
    const number = this.#journal.file(key);
    const id = await this.#storeChunk(this.#window.bytes.subarray(0, count), number);
    return { content: singleChunk(id), sizeBytes: count, isStable };
  }

  async #storeLarge(
    path: ByteString,
    stat: LocalStat,
    key: string,
    known: Iterable<ChunkItem>,
  ): Promise<StoredFile> {
    const file = await openFile(
      toBytes(path),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    try {
      let large = this.#begin(file, stat, key);
      // A journal that is wrong about one chunk is not believed about the others.
      if (!(await this.#storeKnown(large, known))) {
        this.#onBytes(-large.builder.sizeBytes);
        large = this.#begin(file, stat, key);
      }
      await this.#storeRest(large);
      const { builder } = large;
      const isStable = builder.sizeBytes === stat.sizeBytes && fileKey(statOpenFile(file)) === key;
      return { content: await builder.finish(), sizeBytes: builder.sizeBytes, isStable };
    } finally {
      await closeFile(file);
    }
  }

  #begin(file: number, { sizeBytes }: LocalStat, key: string): LargeFile {
    const builder = new ContentBuilder({
      storeList: async (plaintext) => {
        const id = this.#cipher.id(ChunkKind.list, plaintext);
        await this.#uploader.offer(ChunkKind.list, id, plaintext);
        return id;
      },
    });
    return { file, number: this.#journal.file(key), builder, sizeBytes };
  }

  /** The chunks that a journal knows: those that are stored are passed over, the others read and stored. False when they do not fit. */
  async #storeKnown(large: LargeFile, known: Iterable<ChunkItem>): Promise<boolean> {
    const { file, number, builder, sizeBytes } = large;
    for (const item of known) {
      this.#signal?.throwIfAborted();
      const at = builder.sizeBytes;
      if (at + item.lengthBytes > sizeBytes) return false;
      if (!item.id || (await this.#uploader.isStored(ChunkKind.data, item.id))) {
        this.#journal.item(number, item);
        this.#onBytes(item.lengthBytes);
      } else {
        const bytes = this.#window.bytes.subarray(0, item.lengthBytes);
        if ((await this.#read(file, 0, bytes.length, at)) !== item.lengthBytes) return false;
        const id = this.#cipher.id(ChunkKind.data, bytes);
        if (Buffer.compare(id, item.id) !== 0) return false;
        await this.#storeChunk(bytes, number, id);
      }
      await builder.add(item);
    }
    return true;
  }

  async #storeRest(large: LargeFile): Promise<void> {
    const { file, number, builder, sizeBytes } = large;
    const window = this.#window;
    window.reset(builder.sizeBytes);
    if (builder.sizeBytes >= sizeBytes) return;
    const next = (): Promise<number> | number => {
      window.makeRoom();
      const wanted = Math.min(READ_BYTES, sizeBytes - window.fileOffset);
      if (sizeBytes <= AT_ONCE_BYTES)
        return readSync(file, window.bytes, window.fill, wanted, window.fileOffset);
      return this.#read(file, window.fill, wanted, window.fileOffset);
    };
    let reading: Promise<number> | number | undefined = next();
    try {
      while (reading !== undefined) {
        const count: number = await reading;
        window.advance(count);
        window.isEnd = count === 0 || window.fileOffset >= sizeBytes;
        reading = window.isEnd ? undefined : next();
        for (let piece = window.next(); piece; piece = window.next()) {
          await builder.add(await this.#storePiece(piece, number));
          // A device that waits for more, or has granted more, is served between two chunks: they take a millisecond each.
          await turn();
        }
        this.#signal?.throwIfAborted();
      }
    } finally {
      // A read that is under way must not find its file closed, nor the window in use for the next one.
      await Promise.allSettled([reading]);
    }
  }

  async #storePiece(piece: Piece, number: number): Promise<ChunkItem> {
    const { start, lengthBytes, isHole } = piece;
    if (!isHole) {
      const plaintext = this.#window.bytes.subarray(start, start + lengthBytes);
      return { lengthBytes, id: await this.#storeChunk(plaintext, number) };
    }
    const hole = { lengthBytes, id: undefined };
    this.#journal.item(number, hole);
    this.#onBytes(lengthBytes);
    return hole;
  }

  /** `number` is the file's in the journal, which hears of the chunk first: no pack is sent with chunks it does not know. */
  async #storeChunk(
    plaintext: Uint8Array,
    number: number,
    id = this.#cipher.id(ChunkKind.data, plaintext),
  ): Promise<Uint8Array> {
    this.hashedBytes += plaintext.length;
    this.#journal.item(number, { lengthBytes: plaintext.length, id });
    await this.#uploader.offer(ChunkKind.data, id, plaintext);
    this.#onBytes(plaintext.length);
    return id;
  }

  /** As much as there is, up to `length`. */
  async #read(file: number, into: number, length: number, offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      read(file, this.#window.bytes, into, length, offset, (error, count) => {
        if (error) reject(error);
        else resolve(count);
      });
    });
  }
}
