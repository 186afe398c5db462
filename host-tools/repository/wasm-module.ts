// SPDX-License-Identifier: MIT
/**
 * The bytes of a WebAssembly module with one function, put together here so that no compiler is needed. It is the inner
 * loop of the chunker: the only code that looks at every byte of every file.
 *
 *   scan(from, end, bits, isFresh) -> position after the first byte at which the gear hash is below 2^(64 - bits), or 0
 *
 *   hash = (hash << 1) + gear[byte]   in 64 bits; continued from the last call unless `isFresh`
 *
 * Memory: 256 gear values of 8 bytes at 0, the hash at 2048, data from `DATA_OFFSET` on. Encoding: the WebAssembly core
 * specification 1.0, section 5.
 */

const GEAR_BYTES = 256 * 8;
const HASH_AT = GEAR_BYTES;
/** Where the caller's data may start in the memory. */
export const DATA_OFFSET = 65536;
/** Bytes handled between two tests for the end. */
const UNROLL = 8;

const I32 = 0x7f;
const I64 = 0x7e;
const op = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  i64Load: 0x29,
  i32Load8U: 0x2d,
  i64Store: 0x37,
  i32Const: 0x41,
  i64Const: 0x42,
  i32Eqz: 0x45,
  i32GtU: 0x4b,
  i32GeU: 0x4f,
  i64LtU: 0x54,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Shl: 0x74,
  i64Add: 0x7c,
  i64Sub: 0x7d,
  i64Shl: 0x86,
  i64ExtendI32U: 0xad,
  empty: 0x40,
} as const;

/** LEB128, unsigned. */
function u(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

/** LEB128, signed: what constants take. */
function s(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function section(id: number, body: number[]): number[] {
  return [id, ...u(body.length), ...body];
}

function name(text: string): number[] {
  return [...u(text.length), ...Buffer.from(text, "latin1")];
}

const FROM = 0;
const END = 1;
const BITS = 2;
const IS_FRESH = 3;
const HASH = 4;
const THRESHOLD = 5;
const LAST = 6;

const get = (local: number): number[] => [op.localGet, local];
const set = (local: number): number[] => [op.localSet, local];
const constant = (value: number): number[] => [op.i32Const, ...s(value)];

/** Hashes the byte at FROM + offset; returns from the function when the hash is below the threshold. */
function step(offset: number): number[] {
  return [
    ...get(HASH), op.i64Const, 1, op.i64Shl,
    ...get(FROM), op.i32Load8U, 0, ...u(offset),
    ...constant(3), op.i32Shl, op.i64Load, 3, 0,
    op.i64Add, op.localTee, HASH,
    ...get(THRESHOLD), op.i64LtU,
    op.if, op.empty,
    ...storeHash,
    ...get(FROM), ...constant(offset + 1), op.i32Add, op.return,
    op.end,
  ]; // prettier-ignore
}

const storeHash = [...constant(0), ...get(HASH), op.i64Store, 3, ...u(HASH_AT)];

function scanBody(): number[] {
  const unrolled: number[] = [];
  for (let offset = 0; offset < UNROLL; offset++) unrolled.push(...step(offset));
  const advance = (count: number): number[] => [...get(FROM), ...constant(count), op.i32Add, ...set(FROM)];
  const code = [
    // threshold = 1 << (64 - bits)
    op.i64Const, 1, op.i64Const, ...s(64), ...get(BITS), op.i64ExtendI32U, op.i64Sub, op.i64Shl, ...set(THRESHOLD),
    // if (!isFresh) hash = memory[HASH_AT]
    ...get(IS_FRESH), op.i32Eqz, op.if, op.empty,
    ...constant(0), op.i64Load, 3, ...u(HASH_AT), ...set(HASH),
    op.end,
    // last = end - UNROLL; the caller keeps end >= DATA_OFFSET, so it does not wrap
    ...get(END), ...constant(UNROLL), op.i32Sub, ...set(LAST),
    op.block, op.empty, op.loop, op.empty,
    ...get(FROM), ...get(LAST), op.i32GtU, op.brIf, 1,
    ...unrolled, ...advance(UNROLL),
    op.br, 0, op.end, op.end,
    op.block, op.empty, op.loop, op.empty,
    ...get(FROM), ...get(END), op.i32GeU, op.brIf, 1,
    ...step(0), ...advance(1),
    op.br, 0, op.end, op.end,
    ...storeHash,
    ...constant(0),
    op.end,
  ]; // prettier-ignore
  const locals = [2, 2, I64, 1, I32];
  return [...u(locals.length + code.length), ...locals, ...code];
}

export function buildModule(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 4, I32, I32, I32, I32, 1, I32]),
    ...section(2, [1, ...name("host"), ...name("memory"), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name("scan"), 0, 0]),
    ...section(10, [1, ...scanBody()]),
  ]); // prettier-ignore
}
