// SPDX-License-Identifier: MIT
/** A file of this process alone: it has no name, so nobody else reads or writes it, and it goes with the process. */

import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fromFileError } from "../refusal";

export class TemporaryFile {
  readonly #folder: string;
  #file: number | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    this.#attempt(() => {
      const path = join(folder, `temporary-${randomBytes(8).toString("hex")}`);
      this.#file = openSync(path, "wx+", 0o600);
      rmSync(path);
    });
  }

  write(bytes: Uint8Array, offsetBytes: number): void {
    this.#attempt((file) => {
      for (let at = 0; at < bytes.length;)
        at += writeSync(file, bytes, at, bytes.length - at, offsetBytes + at);
    });
  }

  /** How many bytes there were, up to the length of `into`. */
  read(into: Uint8Array, offsetBytes: number): number {
    return this.#attempt((file) => readSync(file, into, 0, into.length, offsetBytes));
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #attempt<T>(work: (file: number) => T): T {
    try {
      return work(this.#file ?? -1);
    } catch (error) {
      throw fromFileError(error, `cannot keep a temporary file in ${this.#folder}`);
    }
  }
}
