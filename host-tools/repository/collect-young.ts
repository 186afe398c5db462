// SPDX-License-Identifier: MIT
/**
 * Frees what ciphers have put out. Each output is a buffer of its own outside of V8's heap, and V8 collects such garbage
 * only when there are more than 30 MiB of it in a thread; a small collection for every few of them costs less time than
 * the memory that is then touched anew. Does nothing where Node was started without `--expose-gc`, as `coffer` is.
 */
export function collectYoung(): void {
  (globalThis as { gc?: (options: { type: "minor" }) => void }).gc?.({ type: "minor" });
}

/** The same after every so many bytes that went through ciphers: more often costs time, less often memory. */
export class YoungCollector {
  readonly #everyBytes: number;
  #bytes = 0;

  constructor(everyBytes: number) {
    this.#everyBytes = everyBytes;
  }

  passed(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#everyBytes) return;
    this.#bytes = 0;
    collectYoung();
  }
}
