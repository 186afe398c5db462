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
  readonly #flushing = new Map<number, (error?: StorageError) => void>();

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
    const link = this.#link;
    const flushing = this.#flushing;
    const answer = refuse(() => link.start(HostOp.openFile).u32(MODES.indexOf(mode)).ascii(path).call());
    const file = answer.getUint32(0, true);
    let sizeBytes = answer.getFloat64(4, true);
    let isOpen = true;
    return {
      get sizeBytes() {
        return sizeBytes;
      },
      allocate(wanted) {
        refuse(() => link.start(HostOp.allocate).u32(file).f64(wanted).call());
        sizeBytes = wanted;
      },
      read: (into, position) =>
        refuse(() => link.start(HostOp.readFile).u32(file).f64(position).u32(into.length).callInto(into)),
      write(bytes, position) {
        refuse(() => link.start(HostOp.writeFile).u32(file).f64(position).call(bytes));
      },
      flush(done) {
        if (flushing.has(file)) throw new Error("a flush is under way");
        refuse(() => link.start(HostOp.flushFile).u32(file).call());
        flushing.set(file, done);
      },
      close() {
        if (!isOpen) return;
        isOpen = false;
        flushing.delete(file);
        link.start(HostOp.closeFile).u32(file).call();
      },
    };
  }

  createDirectory(path: string): void {
    refuse(() => this.#link.start(HostOp.createDirectory).ascii(path).call());
  }

  remove(path: string): void {
    refuse(() => this.#link.start(HostOp.remove).ascii(path).call());
  }

  scan(path: string): DirectoryScan {
    const link = this.#link;
    const scan = refuse(() => link.start(HostOp.scan).ascii(path).call()).getUint32(0, true);
    let isOpen = true;
    return {
      next() {
        const answer = refuse(() => link.start(HostOp.scanNext).u32(scan).call());
        if (answer.byteLength === 0) return undefined;
        return {
          isDirectory: answer.getUint8(0) !== 0,
          sizeBytes: answer.getFloat64(1, true),
          name: String.fromArrayBuffer((answer.buffer as ArrayBuffer).slice(9)),
        };
      },
      close() {
        if (!isOpen) return;
        isOpen = false;
        link.start(HostOp.scanClose).u32(scan).call();
      },
    };
  }

  space(): { capacityBytes: number; freeBytes: number } {
    const answer = refuse(() => this.#link.start(HostOp.space).call());
    return { capacityBytes: answer.getFloat64(0, true), freeBytes: answer.getFloat64(8, true) };
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
