// SPDX-License-Identifier: MIT
/** An open file of a simulated card: the storage port's StorageFile. What happens to an operation decides the card. */
import { StorageError, type StorageFile } from "../firmware/core/io";
import type { CardFile } from "./card-file";
import type { CardOperation } from "./card-operation";
import { PowerCut } from "./power-cut";

/** What a handle asks of its card. */
export interface CardGate {
  /** Counts the operation, lets arranged failures and cuts happen, else does it. `isCut`: the power goes during it. */
  operate<T>(operation: CardOperation, detail: string, effect: (isCut: boolean) => T): T;
  /** Throws when the power or the card has gone since the handle was made. */
  require(): void;
  /** False when the firmware that made the handle is dead. */
  isAlive(): boolean;
  /** Takes clusters; throws "full". */
  take(bytesBefore: number, bytesAfter: number): void;
  /** `removals`: how many there had been when the flush started; they are durable with it. */
  commit(stamp: number, removals: number): void;
  removalCount(): number;
  defer(callback: () => void): void;
}

const FAT_MAX_FILE_BYTES = 2 ** 31 - 1; // FatFs on ESP32 keeps signed 32-bit offsets

export class CardHandle implements StorageFile {
  readonly #gate: CardGate;
  readonly #file: CardFile;
  readonly #path: string;
  readonly #isReadOnly: boolean;
  #isOpen = true;
  #isFlushing = false;

  constructor(gate: CardGate, file: CardFile, path: string, isReadOnly: boolean) {
    this.#gate = gate;
    this.#file = file;
    this.#path = path;
    this.#isReadOnly = isReadOnly;
    file.openCount++;
  }

  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }

  allocate(sizeBytes: number): void {
    this.#operate("allocate", String(sizeBytes), () => {
      const before = this.#file.sizeBytes;
      if (sizeBytes < before || sizeBytes > FAT_MAX_FILE_BYTES)
        throw new RangeError(`allocate: expected ${String(before)}..2^31-1, got ${String(sizeBytes)}`);
      this.#requireChain(before);
      this.#gate.take(before, sizeBytes);
      this.#file.grow(sizeBytes);
    });
  }

  read(into: Uint8Array, positionBytes: number): number {
    return this.#operate("read", `${String(into.length)} at ${String(positionBytes)}`, () => {
      this.#requireChain(Math.min(positionBytes + into.length, this.#file.sizeBytes));
      return this.#file.read(into, positionBytes);
    });
  }

  write(bytes: Uint8Array, positionBytes: number): void {
    const detail = `${String(bytes.length)} at ${String(positionBytes)}`;
    this.#operate("write", detail, () => {
      if (positionBytes < 0 || positionBytes + bytes.length > this.#file.sizeBytes)
        throw new RangeError(`write: ${detail} is outside the allocated size`);
      this.#requireChain(positionBytes + bytes.length);
      this.#file.write(bytes, positionBytes);
    });
  }

  flush(done: (error?: StorageError) => void): void {
    if (this.#isFlushing) throw new Error(`a flush of ${this.#path} is under way`);
    let stamp = 0;
    const removals = this.#gate.removalCount();
    let failure = this.#attempt(() => {
      this.#operate("flush", "", () => {
        stamp = this.#file.startFlush();
      });
    });
    this.#isFlushing = true;
    this.#gate.defer(() => {
      if (!this.#gate.isAlive()) return;
      try {
        failure ??= this.#attempt(() => {
          this.#gate.require();
          this.#gate.operate("flushed", this.#path, (isCut) => {
            if (!isCut) this.#gate.commit(stamp, removals);
          });
        });
      } catch (error) {
        if (error instanceof PowerCut) return;
        throw error;
      }
      this.#isFlushing = false;
      if (this.#isOpen) done(failure);
      else this.#rest();
    });
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#file.openCount = Math.max(0, this.#file.openCount - 1); // a cut has closed all handles already
    if (!this.#isFlushing) this.#rest();
  }

  #rest(): void {
    if (this.#file.openCount === 0) this.#file.content?.rest();
  }

  #operate<T>(operation: CardOperation, detail: string, effect: (isCut: boolean) => T): T {
    if (!this.#isOpen) throw new Error(`${operation} after close of ${this.#path}`);
    if (this.#isReadOnly && operation !== "read")
      throw new Error(`${operation} of ${this.#path}, which is open for reading`);
    this.#gate.require();
    return this.#gate.operate(operation, `${this.#path} ${detail}`, effect);
  }

  /** What the medium refuses is for `done`; what the caller did wrong, and a power cut, are thrown. */
  #attempt(action: () => void): StorageError | undefined {
    try {
      action();
      return undefined;
    } catch (error) {
      if (error instanceof StorageError) return error;
      throw error;
    }
  }

  #requireChain(endBytes: number): void {
    if (endBytes > this.#file.readableBytes)
      throw new StorageError("io", `${this.#path}: the chain of clusters ends before the file does`);
  }
}
