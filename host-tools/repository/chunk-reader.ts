// SPDX-License-Identifier: MIT
/**
 * Fetches single chunks: from this computer's cache, else from any device that has a pack with them. A chunk that is
 * missing or does not open on one device is looked for on the next. Neighbours of a folder's chunk come along, more of
 * them the longer a walk goes on.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { Refusal } from "../refusal";
import type { BlobDevice } from "./blob-device";
import type { ChunkCache } from "./chunk-cache";
import type { ChunkCipher } from "./chunk-cipher";
import type { ChunkIndex, IndexedPack, Location } from "./chunk-index";
import { ChunkKind } from "./repository-keys";

const FIRST_WINDOW_BYTES = 64 * 1024;
const LAST_WINDOW_BYTES = 4 * 1024 * 1024;

export class ChunkReader {
  readonly #devices: readonly BlobDevice[];
  readonly #index: ChunkIndex;
  readonly #cipher: ChunkCipher;
  readonly #cache: ChunkCache;
  readonly #onWarning: (text: string) => void;
  #windowBytes = FIRST_WINDOW_BYTES;
  receivedBytes = 0;

  constructor(options: {
    devices: readonly BlobDevice[];
    index: ChunkIndex;
    cipher: ChunkCipher;
    cache: ChunkCache;
    onWarning: (text: string) => void;
  }) {
    this.#devices = options.devices;
    this.#index = options.index;
    this.#cipher = options.cipher;
    this.#cache = options.cache;
    this.#onWarning = options.onWarning;
  }

  /** The plaintext of a chunk. Refuses with `corruptedBlob` or `missingBlob` when no device can give it. */
  async read(kind: ChunkKind, id: Uint8Array): Promise<Uint8Array> {
    const isCached = kind !== ChunkKind.data;
    const cached = isCached ? this.#fromCache(kind, id) : undefined;
    if (cached) return cached;
    return this.fetch(kind, id, async (location, device) => {
      if (!isCached) return this.#get(device, location.pack, location.offsetBytes, location.sealedBytes);
      return this.#getWithNeighbours(location, device);
    });
  }

  /** Tries `get` on every place of a chunk until one gives bytes that open. */
  async fetch(
    kind: ChunkKind,
    id: Uint8Array,
    get: (location: Location, device: BlobDevice) => Promise<Uint8Array>,
  ): Promise<Buffer> {
    const reasons: Refusal[] = [];
    const locations = this.#index
      .locations(kind, id)
      .sort((a, b) => Number(this.#isConnected(b.pack)) - Number(this.#isConnected(a.pack)));
    for (const location of locations)
      for (const device of this.#devicesFor(location.pack)) {
        try {
          return this.#cipher.open(kind, id, await get(location, device));
        } catch (error) {
          reasons.push(this.#reason(error, location, device));
        }
      }
    throw this.#lost(id, locations, reasons);
  }

  /** Connected devices, those that said they have the pack first. */
  #devicesFor(pack: IndexedPack): BlobDevice[] {
    return [...this.#devices].sort(
      (a, b) => Number(pack.devices.has(b.name)) - Number(pack.devices.has(a.name)),
    );
  }

  deviceFor(pack: IndexedPack): BlobDevice | undefined {
    return this.#devicesFor(pack)[0];
  }

  /** Where to look first: a pack that a connected device has. */
  bestLocation(kind: ChunkKind, id: Uint8Array): Location | undefined {
    const locations = this.#index.locations(kind, id);
    return locations.find(({ pack }) => this.#isConnected(pack)) ?? locations[0];
  }

  #isConnected(pack: IndexedPack): boolean {
    return this.#devices.some((device) => pack.devices.has(device.name));
  }

  #fromCache(kind: ChunkKind, id: Uint8Array): Buffer | undefined {
    const sealed = this.#cache.get(id);
    if (!sealed) return undefined;
    try {
      return this.#cipher.open(kind, id, sealed);
    } catch {
      this.#cache.drop(id);
      return undefined;
    }
  }

  async #get(
    device: BlobDevice,
    pack: IndexedPack,
    offsetBytes: number,
    lengthBytes: number,
  ): Promise<Uint8Array> {
    const bytes = await device.get(pack.id, offsetBytes, lengthBytes);
    this.receivedBytes += bytes.length;
    if (bytes.length !== lengthBytes) throw new DataError("short", "the pack is shorter than its index says");
    return bytes;
  }

  async #getWithNeighbours(location: Location, device: BlobDevice): Promise<Uint8Array> {
    const { pack, offsetBytes, sealedBytes } = location;
    const margin = Math.max(0, Math.floor((this.#windowBytes - sealedBytes) / 2));
    this.#windowBytes = Math.min(this.#windowBytes * 2, LAST_WINDOW_BYTES);
    const near = this.#index
      .chunksOf(pack)
      .filter(
        (c) =>
          c.offsetBytes >= offsetBytes - margin &&
          c.offsetBytes + c.sealedBytes <= offsetBytes + sealedBytes + margin,
      );
    const first = near[0];
    const last = near.at(-1);
    if (!first || !last) return this.#get(device, pack, offsetBytes, sealedBytes);
    const from = first.offsetBytes;
    const bytes = await this.#get(device, pack, from, last.offsetBytes + last.sealedBytes - from);
    for (const chunk of near)
      this.#cache.put(
        chunk.id,
        bytes.subarray(chunk.offsetBytes - from, chunk.offsetBytes - from + chunk.sealedBytes),
      );
    return bytes.subarray(offsetBytes - from, offsetBytes - from + sealedBytes);
  }

  /** What another device may do better; anything else (a defect, or interrupted) is thrown on. */
  #reason(error: unknown, location: Location, device: BlobDevice): Refusal {
    const pack = Buffer.from(location.pack.id).toString("hex").slice(0, 16);
    if (error instanceof DataError) {
      const refusal = new Refusal(
        "corruptedBlob",
        `blob ${pack} on ${device.name} is damaged: ${error.message}`,
        { cause: error },
      );
      this.#onWarning(refusal.message);
      return refusal;
    }
    if (!(error instanceof Refusal) || error.kind === "interrupted") throw error;
    if (error.kind !== "missingBlob") this.#onWarning(error.message);
    return error;
  }

  #lost(id: Uint8Array, locations: readonly Location[], reasons: readonly Refusal[]): Refusal {
    const corrupted = reasons.find((reason) => reason.kind === "corruptedBlob");
    const stored = new Set(locations.flatMap((location) => [...location.pack.devices]));
    const elsewhere = [...stored].filter((name) => !this.#devices.some((device) => device.name === name));
    const hint =
      elsewhere.length > 0
        ? `It is also stored on ${elsewhere.join(", ")}: connect that device and try again.`
        : "Push the files again from a computer that still has them, with --force.";
    if (corrupted) return new Refusal("corruptedBlob", corrupted.message, { hint, cause: corrupted });
    const unreachable = reasons.find((reason) => reason.kind !== "missingBlob");
    if (unreachable) return unreachable;
    const where = this.#devices.map((device) => device.name).join(", ");
    return new Refusal(
      "missingBlob",
      `chunk ${Buffer.from(id).toString("hex").slice(0, 16)} is not on ${where}`,
      {
        hint,
        cause: reasons[0],
      },
    );
  }
}
