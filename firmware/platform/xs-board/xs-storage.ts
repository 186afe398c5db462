// SPDX-License-Identifier: MIT
/** The storage port of the XS board: the simulated card on Node's side of the link. */
import {
  type DirectoryScan,
  type Storage,
  StorageError,
  type StorageErrorCode,
  type StorageFile,
} from "../../core/io";
import { type HostLink, readRefusal } from "./host-link";
import { HostEvent, HostOp } from "./host-protocol";

const MODES = ["create", "read", "update"] as const;

export class XsStorage implements Storage {
  readonly #link: HostLink;
  /** Files with a flush under way: as many as files are open. */
  readonly #flushing: Flushing = new Map();

  constructor(link: HostLink) {
    this.#link = link;
    link.handle(HostEvent.flushed, (event) => {
      const file = event.u32();
      const done = this.#flushing.get(file);
      this.#flushing.delete(file);
      const { code, message } = readRefusal(event.text());
      done?.(message === "" ? undefined : new StorageError(code as StorageErrorCode, message));
    });
  }

  openFile(path: string, mode: (typeof MODES)[number]): StorageFile {
    const answer = refuse(() =>
      this.#link.start(HostOp.openFile).u32(MODES.indexOf(mode)).ascii(path).call(),
    );
    return new XsFile(this.#link, this.#flushing, answer.getUint32(0, true), answer.getFloat64(4, true));
  }

  createDirectory(path: string): void {
    refuse(() => this.#link.start(HostOp.createDirectory).ascii(path).call());
  }

  remove(path: string): void {
    refuse(() => this.#link.start(HostOp.remove).ascii(path).call());
  }

  scan(path: string): DirectoryScan {
    const answer = refuse(() => this.#link.start(HostOp.scan).ascii(path).call());
    return new XsScan(this.#link, answer.getUint32(0, true));
  }

  space(): { capacityBytes: number; freeBytes: number } {
    const answer = refuse(() => this.#link.start(HostOp.space).call());
    return { capacityBytes: answer.getFloat64(0, true), freeBytes: answer.getFloat64(8, true) };
  }
}

type Flushing = Map<number, (error?: StorageError) => void>;

/** Methods on a prototype and not closures: an open file is 8 slots of the firmware's heap instead of 90. */
class XsFile implements StorageFile {
  sizeBytes: number;
  readonly #link: HostLink;
  readonly #flushing: Flushing;
  readonly #file: number;
  #isOpen = true;

  constructor(link: HostLink, flushing: Flushing, file: number, sizeBytes: number) {
    this.sizeBytes = sizeBytes;
    this.#link = link;
    this.#flushing = flushing;
    this.#file = file;
  }

  allocate(sizeBytes: number): void {
    refuse(() => this.#link.start(HostOp.allocate).u32(this.#file).f64(sizeBytes).call());
    this.sizeBytes = sizeBytes;
  }

  read(into: Uint8Array, positionBytes: number): number {
    try {
      const request = this.#link.start(HostOp.readFile).u32(this.#file).f64(positionBytes);
      return request.u32(into.length).callInto(into);
    } catch (refusal) {
      throw storageError(refusal);
    }
  }

  write(bytes: Uint8Array, positionBytes: number): void {
    try {
      this.#link.start(HostOp.writeFile).u32(this.#file).f64(positionBytes).call(bytes);
    } catch (refusal) {
      throw storageError(refusal);
    }
  }

  flush(done: (error?: StorageError) => void): void {
    if (this.#flushing.has(this.#file)) throw new Error("a flush is under way");
    refuse(() => this.#link.start(HostOp.flushFile).u32(this.#file).call());
    this.#flushing.set(this.#file, done);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#flushing.delete(this.#file);
    this.#link.start(HostOp.closeFile).u32(this.#file).call();
  }
}

class XsScan implements DirectoryScan {
  readonly #link: HostLink;
  readonly #scan: number;
  #isOpen = true;

  constructor(link: HostLink, scan: number) {
    this.#link = link;
    this.#scan = scan;
  }

  next(): { name: string; isDirectory: boolean; sizeBytes: number } | undefined {
    const answer = refuse(() => this.#link.start(HostOp.scanNext).u32(this.#scan).call());
    if (answer.byteLength === 0) return undefined;
    return {
      isDirectory: answer.getUint8(0) !== 0,
      sizeBytes: answer.getFloat64(1, true),
      name: String.fromArrayBuffer((answer.buffer as ArrayBuffer).slice(9)),
    };
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#link.start(HostOp.scanClose).u32(this.#scan).call();
  }
}

function refuse<T>(call: () => T): T {
  try {
    return call();
  } catch (refusal) {
    throw storageError(refusal);
  }
}

function storageError(refusal: unknown): Error {
  const { code, message } = readRefusal(refusal);
  // Not a medium's refusal but a mistake of the caller: the contract's TypeErrors and RangeErrors.
  if (code === "TypeError") return new TypeError(message);
  if (code === "RangeError") return new RangeError(message);
  if (code === "Error") return new Error(message);
  return new StorageError(code as StorageErrorCode, message);
}
