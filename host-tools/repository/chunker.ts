// SPDX-License-Identifier: MIT
/**
 * Content-defined chunking after FastCDC (Xia et al., USENIX ATC 2016; the 64-bit gear of its 2020 revision): a chunk
 * ends where a rolling hash of the last 64 bytes is small. Normalised: before NORMAL_BYTES the hash must be smaller
 * than after it, so that sizes gather around 1 MiB. The first MIN_BYTES of a chunk are skipped unseen.
 *
 * The hash starts anew with every chunk: where a chunk ends depends on nothing before its first byte, so that chunking
 * resumes at any boundary. The gear table comes from a key of the repository: boundaries tell a stranger nothing that
 * he could compare with files he knows.
 *
 * Data lies in the memory of a WebAssembly module (wasm-module.ts). `bytes` is a view of it that files are read into
 * directly and that hashes and ciphers read from directly: nothing is copied.
 */

import { createCipheriv } from "node:crypto";
import { DATA_OFFSET, buildModule } from "./wasm-module";

export const MIN_CHUNK_BYTES = 256 * 1024;
/** Where the test gets easier: gives chunks of 1 MiB on average. */
export const NORMAL_CHUNK_BYTES = 832 * 1024;
export const MAX_CHUNK_BYTES = 4 * 1024 * 1024;
/** Nearly all chunks are shorter: with so much of a file, it is worth looking for the end of one. */
const LIKELY_CHUNK_BYTES = 2 * 1024 * 1024;
/** Zero bits that the hash must have at its top, before and after NORMAL_CHUNK_BYTES. */
export const HARD_BITS = 22;
export const EASY_BITS = 18;

const PAGE_BYTES = 65536;

type Scan = (from: number, end: number, bits: number, isFresh: number) => number;

/** The part of the WebAssembly interface that is used: Node's type definitions leave it to the browser's. */
interface Wasm {
  Memory: new (options: { initial: number; maximum: number }) => { buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: { scan: Scan } };
}
const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;

let compiled: object | undefined;

/** 256 values of 64 bits: the first 2048 bytes of AES-256-CTR under the key, little-endian. */
export function gearTable(key: Uint8Array): Uint8Array {
  return createCipheriv("aes-256-ctr", key, new Uint8Array(16)).update(new Uint8Array(2048));
}

export class Chunker {
  /** The working memory: put data here, then ask for cuts. */
  readonly bytes: Uint8Array;
  readonly #scan: Scan;

  constructor(options: { gearKey: Uint8Array; capacityBytes: number }) {
    const pages = Math.ceil((DATA_OFFSET + options.capacityBytes) / PAGE_BYTES);
    const memory = new wasm.Memory({ initial: pages, maximum: pages });
    new Uint8Array(memory.buffer, 0, 2048).set(gearTable(options.gearKey));
    compiled ??= new wasm.Module(buildModule());
    const instance = new wasm.Instance(compiled, { host: { memory } });
    this.#scan = instance.exports.scan;
    this.bytes = new Uint8Array(memory.buffer, DATA_OFFSET, options.capacityBytes);
  }

  /**
   * The end of the chunk that starts at `start`, for data in `bytes` up to `end`. `isLast`: the data ends there; when it
   * does not, the answer is undefined where more is needed to tell.
   */
  cut(start: number, end: number, isLast: boolean): number | undefined {
    const present = end - start;
    if (present < LIKELY_CHUNK_BYTES && !isLast) return undefined;
    if (present <= MIN_CHUNK_BYTES) return end;
    const limit = Math.min(end, start + MAX_CHUNK_BYTES);
    const normal = Math.min(limit, start + NORMAL_CHUNK_BYTES);
    const early = this.#scan(DATA_OFFSET + start + MIN_CHUNK_BYTES, DATA_OFFSET + normal, HARD_BITS, 1);
    if (early !== 0) return early - DATA_OFFSET;
    const late = this.#scan(DATA_OFFSET + normal, DATA_OFFSET + limit, EASY_BITS, 0);
    if (late !== 0) return late - DATA_OFFSET;
    return isLast || present >= MAX_CHUNK_BYTES ? limit : undefined;
  }
}
