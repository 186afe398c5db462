// SPDX-License-Identifier: MIT
import { ByteReader } from "./byte-reader";
import { DataError } from "./data-error";
import { HASH_BYTES, MAX_IDS } from "./limits";

/**
 * The ids of a `has` or `delete` request where they lie: an array for each would take seven slots of a board's heap,
 * and there may be MAX_IDS. Refuses what decoding refuses.
 */
export class PackedIds {
  readonly count: number;
  readonly #bytes: Uint8Array;

  constructor(body: Uint8Array) {
    const reader = new ByteReader(body);
    this.count = reader.u16();
    if (this.count > MAX_IDS)
      throw new DataError("range", `count ${String(this.count)} above ${String(MAX_IDS)}`);
    this.#bytes = reader.take(this.count * HASH_BYTES);
    reader.end();
  }

  /** A view into the request. */
  at(index: number): Uint8Array {
    return this.#bytes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
  }
}
