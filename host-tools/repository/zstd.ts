// SPDX-License-Identifier: MIT
/**
 * Zstandard (RFC 8878) in WebAssembly: zstd's own code, compiled by @foxglove/wasm-zstd, of which only the module is used:
 * its JavaScript allocates what a frame asks for. Everything is done in two buffers of fixed size within the module's
 * memory, at once, without garbage. The same compressor on every computer and every version of Node makes the same frame
 * of the same bytes. (What Node itself brings from 22.15 on is no faster: it makes a stream and two buffers for each call.)
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { DataError } from "../../firmware/protocol/data-error";
import { MAX_CHUNK_BYTES } from "./chunker";

/** 10 MiB are enough on the low levels. */
const MAX_MEMORY_BYTES = 32 * 1024 * 1024;
const PAGE_BYTES = 65536;
const MAGIC = 0xfd2fb528;

interface WasmMemory {
  buffer: ArrayBuffer;
  grow: (pages: number) => number;
}

/** The part of the WebAssembly interface that is used: Node's type definitions leave it to the browser's. */
interface Wasm {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: ZstdExports };
}
const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;

let compiled: object | undefined;

/** What the module of version 1.0.1 exports, under its names. */
interface ZstdExports {
  c: WasmMemory;
  /** What a module of emscripten does first. */
  d: () => void;
  /** malloc */
  f: (bytes: number) => number;
  /** ZSTD_compressBound */
  h: (sourceBytes: number) => number;
  /** ZSTD_compress; -1 when it fails. */
  i: (target: number, targetBytes: number, source: number, sourceBytes: number, level: number) => number;
  /** ZSTD_decompress; -1 when it fails. */
  j: (target: number, targetBytes: number, source: number, sourceBytes: number) => number;
}

export class Zstd {
  /** Compiled when it is needed first: many commands have nothing to do with chunks. */
  #module: ZstdExports | undefined;
  #source = 0;
  #target = 0;
  #targetBytes = 0;

  /** Where the bytes go that are to be compressed or decompressed next. To be filled at once. */
  input(lengthBytes: number): Uint8Array<ArrayBuffer> {
    if (lengthBytes > MAX_CHUNK_BYTES)
      throw new RangeError(`lengthBytes: expected 0..${String(MAX_CHUNK_BYTES)}, got ${String(lengthBytes)}`);
    return this.#view(this.#load(), this.#source, lengthBytes);
  }

  /** The frame of the input, with the content size in its header: a view until the next call. */
  compress(lengthBytes: number, level: number): Uint8Array<ArrayBuffer> {
    const module = this.#load();
    const length = module.i(this.#target, this.#targetBytes, this.#source, lengthBytes, level);
    if (length < 0) throw new Error("zstd does not compress");
    return this.#view(module, this.#target, length);
  }

  /**
   * What the frame in the input holds: a view until the next call. DataError unless it is a frame that tells its content
   * size, at most MAX_CHUNK_BYTES, and holds exactly so much; no memory is taken for it that was not there before.
   */
  decompress(frameBytes: number): Uint8Array<ArrayBuffer> {
    const sizeBytes = contentSize(this.input(frameBytes));
    const module = this.#load();
    const length = module.j(this.#target, sizeBytes, this.#source, frameBytes);
    if (length !== sizeBytes) throw new DataError("range", "zstd frame does not hold what it says");
    return this.#view(module, this.#target, length);
  }

  #view(module: ZstdExports, at: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
    // Anew each time: the buffer is another one when the memory has grown.
    return new Uint8Array(module.c.buffer, at, lengthBytes);
  }

  #load(): ZstdExports {
    if (this.#module) return this.#module;
    const module = instantiate();
    this.#targetBytes = module.h(MAX_CHUNK_BYTES);
    this.#source = allocated(module.f(MAX_CHUNK_BYTES));
    this.#target = allocated(module.f(this.#targetBytes));
    this.#module = module;
    return module;
  }
}

/** From a frame's header, RFC 8878 section 3.1.1.1. */
function contentSize(bytes: Uint8Array): number {
  const frame = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (frame.byteLength < 5 || frame.getUint32(0, true) !== MAGIC)
    throw new DataError("checksum", "this is no zstd frame");
  const descriptor = frame.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 3) !== 0) throw new DataError("range", "zstd frame with a dictionary");
  const at = isSingleSegment ? 5 : 6;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  if (sizeBytes === 0) throw new DataError("range", "zstd frame that does not tell its size");
  if (frame.byteLength < at + sizeBytes) throw new DataError("short", "zstd frame cut off");
  const size =
    sizeBytes === 1
      ? frame.getUint8(at)
      : sizeBytes === 2
        ? frame.getUint16(at, true) + 256
        : sizeBytes === 4
          ? frame.getUint32(at, true)
          : Number(frame.getBigUint64(at, true));
  if (size > MAX_CHUNK_BYTES) throw new DataError("range", `zstd frame of ${String(size)} bytes`);
  return size;
}

function instantiate(): ZstdExports {
  compiled ??= new wasm.Module(readFileSync(modulePath()));
  const grow = (wantedBytes: number): number => {
    const bytes = wantedBytes >>> 0;
    if (bytes > MAX_MEMORY_BYTES) return 0;
    const { c: memory } = exports;
    memory.grow(Math.max(0, Math.ceil((bytes - memory.buffer.byteLength) / PAGE_BYTES)));
    return 1;
  };
  const copy = (target: number, source: number, bytes: number): void => {
    const from = source >>> 0;
    new Uint8Array(exports.c.buffer).copyWithin(target >>> 0, from, from + (bytes >>> 0));
  };
  // What emscripten imports: more memory, and copying of long pieces.
  const { exports } = new wasm.Instance(compiled, { a: { a: grow, b: copy } });
  exports.d();
  return exports;
}

/** Beside the package's program, also for the bundle. */
function modulePath(): string {
  return join(dirname(createRequire(import.meta.url).resolve("@foxglove/wasm-zstd")), "wasm-zstd.wasm");
}

function allocated(pointer: number): number {
  if (pointer === 0) throw new Error("zstd gets no memory");
  return pointer;
}
