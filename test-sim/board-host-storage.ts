// SPDX-License-Identifier: MIT
/** Answers the board's host calls to storage. */
import type { DirectoryScan, Storage, StorageFile } from "../firmware/core/io";
import { HostEvent, HostOp } from "../firmware/platform/xs-board/host-protocol";
import { type RequestReader, message } from "./board-message";
import { Handles } from "./host-handles";
import { asRefusal } from "./host-refusal";
import type { XsEvent } from "./xs-machine";

const NOTHING = new Uint8Array(0);

export class BoardStorageHost {
  readonly #storage: Storage;
  readonly #emit: (event: XsEvent) => void;
  readonly #files = new Handles<StorageFile>("file");
  readonly #scans = new Handles<DirectoryScan>("scan");

  constructor(storage: Storage, emit: (event: XsEvent) => void) {
    this.#storage = storage;
    this.#emit = emit;
  }

  /** Undefined: not a request to storage. */
  answer(op: number, request: RequestReader): Uint8Array | undefined {
    const storage = this.#storage;
    switch (op) {
      case HostOp.openFile: {
        const mode = (["create", "read", "update"] as const)[request.u32()] ?? "read";
        const file = storage.openFile(request.text(), mode);
        return message().u32(this.#files.add(file)).f64(file.sizeBytes).bytes;
      }
      case HostOp.allocate:
        this.#files.get(request.u32()).allocate(request.f64());
        return NOTHING;
      case HostOp.readFile: {
        const file = this.#files.get(request.u32());
        const position = request.f64();
        const into = new Uint8Array(request.u32());
        return into.subarray(0, file.read(into, position));
      }
      case HostOp.writeFile: {
        const file = this.#files.get(request.u32());
        const position = request.f64();
        file.write(request.rest(), position);
        return NOTHING;
      }
      case HostOp.flushFile: {
        const id = request.u32();
        this.#files.get(id).flush((error) => {
          const refusal = error === undefined ? "" : asRefusal(error).message;
          this.#emit(message().u8(HostEvent.flushed).u32(id).text(refusal).bytes);
        });
        return NOTHING;
      }
      case HostOp.closeFile:
        this.#files.remove(request.u32())?.close();
        return NOTHING;
      case HostOp.createDirectory:
        storage.createDirectory(request.text());
        return NOTHING;
      case HostOp.remove:
        storage.remove(request.text());
        return NOTHING;
      case HostOp.scan:
        return message().u32(this.#scans.add(storage.scan(request.text()))).bytes;
      case HostOp.scanNext: {
        const entry = this.#scans.get(request.u32()).next();
        if (entry === undefined) return NOTHING;
        return message()
          .u8(entry.isDirectory ? 1 : 0)
          .f64(entry.sizeBytes)
          .text(entry.name).bytes;
      }
      case HostOp.scanClose:
        this.#scans.remove(request.u32())?.close();
        return NOTHING;
      case HostOp.space: {
        const { capacityBytes, freeBytes } = storage.space();
        return message().f64(capacityBytes).f64(freeBytes).bytes;
      }
      default:
        return undefined;
    }
  }
}
