// SPDX-License-Identifier: MIT
/** The board's memory as the root `manifest.json` fixes it for the device (`creation`, Moddable's word and shape). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { projectRoot } from "./project-root";

export interface XsCreation {
  /** Bytes of the one block that holds chunks, slots and stack; 0: as much as the sizes below need. */
  static: number;
  /** Bytes: strings, buffers, arrays, code. `incremental` 0: never grows. */
  chunk: { initial: number; incremental: number };
  /** Slots: objects, properties, values. */
  heap: { initial: number; incremental: number };
  /** Slots. */
  stack: number;
  /** Property names that are not in flash; sizes of two hash tables. */
  keys: { available: number; name: number; symbol: number };
}

/** While the manifest says nothing: what an ESP32 without PSRAM can spare beside Wi-Fi and TLS. */
export const DEFAULT_CREATION: XsCreation = {
  static: 0,
  chunk: { initial: 65_536, incremental: 0 },
  heap: { initial: 2_560, incremental: 0 },
  stack: 512,
  keys: { available: 128, name: 53, symbol: 127 },
};

/**
 * The manifest's `creation` with what `platforms.esp32` lays over it; defaults where neither says anything. The device's
 * heap holds its TLS, too: here that runs in Node, so what the manifest's `config` reserves for it, `tlsReserveBytes` of
 * chunks and `tlsReserveSlots`, is taken away again.
 */
export async function manifestCreation(path = join(projectRoot(), "manifest.json")): Promise<XsCreation> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return DEFAULT_CREATION;
  }
  const manifest = record(JSON.parse(text));
  const platforms = record(manifest.platforms);
  const layers = [manifest, record(platforms.esp32), record(platforms["esp32/*"])].map((layer) =>
    record(layer.creation),
  );
  const pick = (group: string | undefined, name: string, fallback: number): number => {
    let value = fallback;
    for (const layer of layers) {
      const found = (group === undefined ? layer : record(layer[group]))[name];
      if (typeof found === "number") value = found;
    }
    return value;
  };
  const base = DEFAULT_CREATION;
  const { tlsReserveBytes = 0, tlsReserveSlots = 0 } = record(manifest.config) as Record<string, number>;
  const block = pick(undefined, "static", base.static);
  const chunks = pick("chunk", "initial", base.chunk.initial + tlsReserveBytes) - tlsReserveBytes;
  const slots = pick("heap", "initial", base.heap.initial + tlsReserveSlots) - tlsReserveSlots;
  const left = block === 0 ? 0 : block - tlsReserveBytes - tlsReserveSlots * 16;
  if (!(chunks > 0 && slots > 0 && left >= 0))
    throw new RangeError("manifest: creation leaves nothing beside what config reserves for TLS");
  return {
    static: left,
    chunk: {
      initial: chunks,
      incremental: pick("chunk", "incremental", base.chunk.incremental),
    },
    heap: {
      initial: slots,
      incremental: pick("heap", "incremental", base.heap.incremental),
    },
    stack: pick(undefined, "stack", base.stack),
    keys: {
      available: pick("keys", "available", base.keys.available),
      name: pick("keys", "name", base.keys.name),
      symbol: pick("keys", "symbol", base.keys.symbol),
    },
  };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** What the engine adds to a block for itself: a chunk block's head, one slot a heap, alignment. */
const BLOCK_OVERHEAD_BYTES = 256;

/** The twelve numbers that `xs-board` takes. 64-bit slots are twice as large, so the block and the chunks double. */
export function creationArguments(creation: XsCreation, bits: 32 | 64): string[] {
  const scale = bits / 32;
  const slotBytes = 16 * scale;
  const chunkBytes = creation.chunk.initial * scale;
  const least = chunkBytes + (creation.heap.initial + creation.stack) * slotBytes + BLOCK_OVERHEAD_BYTES;
  return [
    chunkBytes,
    creation.chunk.incremental * scale,
    creation.heap.initial,
    creation.heap.incremental,
    creation.stack,
    creation.keys.available,
    0, // keys do not grow on the device either
    creation.keys.name,
    creation.keys.symbol,
    8 * 1024, // parser buffer and table: only eval would use them on the board
    127,
    creation.static === 0 ? least : creation.static * scale,
  ].map(String);
}
