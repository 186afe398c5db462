// SPDX-License-Identifier: MIT
/** Byte strings that are read once, in the order they were added in. What does not fit in memory is in a temporary file. */

import { TemporaryFile } from "./temporary-file";

const MEMORY_BYTES = 512 * 1024;

export class Spool {
  readonly #folder: string;
  #memory: Buffer | undefined;
  #file: TemporaryFile | undefined;
  /** In the file, and in memory behind it. */
  #movedBytes = 0;
  #keptBytes = 0;
  #readBytes = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  add(bytes: Uint8Array): void {
    this.#memory ??= Buffer.allocUnsafeSlow(MEMORY_BYTES);
    if (this.#keptBytes + bytes.length > MEMORY_BYTES) this.#move(this.#memory.subarray(0, this.#keptBytes));
    if (bytes.length > MEMORY_BYTES) this.#move(bytes);
    else {
      this.#memory.set(bytes, this.#keptBytes);
      this.#keptBytes += bytes.length;
    }
  }

  /** The next bytes, a copy. RangeError when there are not so many. */
  next(lengthBytes: number): Buffer {
    const from = this.#readBytes;
    if (from + lengthBytes > this.#movedBytes + this.#keptBytes) throw new RangeError("spool: at its end");
    this.#readBytes += lengthBytes;
    const into = Buffer.alloc(lengthBytes);
    const moved = Math.max(0, Math.min(lengthBytes, this.#movedBytes - from));
    if (moved > 0 && this.#file?.read(into.subarray(0, moved), from) !== moved)
      throw new Error("spool: the temporary file is shorter than what was written");
    const start = from + moved - this.#movedBytes;
    if (moved < lengthBytes) this.#memory?.copy(into, moved, start, start + lengthBytes - moved);
    return into;
  }

  close(): void {
    this.#file?.close();
  }

  #move(bytes: Uint8Array): void {
    this.#file ??= new TemporaryFile(this.#folder);
    this.#file.write(bytes, this.#movedBytes);
    this.#movedBytes += bytes.length;
    this.#keptBytes = 0;
  }
}
