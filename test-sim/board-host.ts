// SPDX-License-Identifier: MIT
/**
 * Node's side of the XS board's link: answers the firmware's host calls with port adapters of Node, and turns their
 * callbacks into events (firmware/platform/xs-board/host-protocol.ts). One host a life of the board: with the power
 * everything it holds is gone.
 */
import { ConnectionError, type Ports, type SecureSocket, StorageError } from "../firmware/core/io";
import { HostEvent, HostOp, REFUSAL_SEPARATOR } from "../firmware/platform/xs-board/host-protocol";
import { RequestReader, message } from "./board-message";
import type { XsEvent } from "./xs-machine";

/** What the board is made of; log and memory are the machine's own. */
export type BoardParts = Omit<Ports, "log" | "memory"> & { onState: (state: string) => void };

/** Handles of one kind that the firmware may hold at once; more is a leak, and the test shall say so. */
const MAX_HANDLES = 256;
const NOTHING = new Uint8Array(0);

interface SocketEntry {
  socket: SecureSocket;
  /** Bytes that can be read, as last heard. */
  readable: number;
  /** An event of the kind waits for the machine: one at a time. */
  isReadableTold: boolean;
  isWritableTold: boolean;
}

export class BoardHost {
  readonly #parts: BoardParts;
  readonly #config: Uint8Array;
  readonly #emit: (event: XsEvent) => void;
  readonly #files = new Handles<ReturnType<Ports["storage"]["openFile"]>>("file");
  readonly #scans = new Handles<ReturnType<Ports["storage"]["scan"]>>("scan");
  readonly #digests = new Handles<ReturnType<Ports["crypto"]["createSha256"]>>("digest");
  readonly #timers = new Map<number, object>();
  readonly #sockets = new Map<number, SocketEntry>();
  readonly #searches = new Map<number, { close(): void }>();
  #isOff = false;

  /** `config` goes to the firmware as JSON. */
  constructor(parts: BoardParts, config: unknown, send: (event: XsEvent) => void) {
    this.#parts = parts;
    this.#config = Buffer.from(JSON.stringify(config));
    this.#emit = (event) => {
      if (!this.#isOff) send(event);
    };
  }

  /** Nothing more is told. Sockets and timers end with the parts. */
  off(): void {
    this.#isOff = true;
  }

  /** Answers one host call; refuses with the text that the firmware's adapters expect. */
  call(bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const request = new RequestReader(bytes);
    try {
      return this.#answer(request.u8(), request);
    } catch (error) {
      throw asRefusal(error);
    }
  }

  #answer(op: number, request: RequestReader): Uint8Array | Promise<Uint8Array> {
    const { clock, entropy, reset, preferences } = this.#parts;
    switch (op) {
      case HostOp.config:
        return this.#config;
      case HostOp.monotonicMs:
        return message().f64(clock.monotonicMs()).bytes;
      case HostOp.unixMs:
        return message().f64(clock.unixMs() ?? NaN).bytes;
      case HostOp.setTimer:
        return this.#setTimer(request.u32(), request.f64());
      case HostOp.clearTimer:
        return this.#clearTimer(request.u32());
      case HostOp.entropy: {
        const into = new Uint8Array(request.u32());
        entropy.fill(into);
        return into;
      }
      case HostOp.resetReason:
        return Buffer.from(reset.reason);
      case HostOp.restart:
        reset.restart();
        return new Promise(() => undefined); // the board is gone before it could see an answer
      case HostOp.getPreference: {
        const value = preferences.get(request.text());
        return value === undefined ? NOTHING : Buffer.concat([Uint8Array.of(1), value]);
      }
      case HostOp.setPreference:
        preferences.set(request.text(request.u32()), request.rest());
        return NOTHING;
      case HostOp.state:
        this.#parts.onState(request.text());
        return NOTHING;
      default:
        return (
          this.#answerStorage(op, request) ??
          this.#answerCrypto(op, request) ??
          this.#answerNetwork(op, request)
        );
    }
  }

  #setTimer(id: number, delayMs: number): Uint8Array {
    if (this.#timers.size >= MAX_HANDLES) throw new Error("too many timers run");
    const handle = this.#parts.timers.set(delayMs, () => {
      this.#timers.delete(id);
      this.#emit(message().u8(HostEvent.timer).u32(id).bytes);
    });
    this.#timers.set(id, handle);
    return NOTHING;
  }

  #clearTimer(id: number): Uint8Array {
    const handle = this.#timers.get(id);
    if (handle !== undefined) this.#parts.timers.clear(handle);
    this.#timers.delete(id);
    return NOTHING;
  }

  #answerStorage(op: number, request: RequestReader): Uint8Array | undefined {
    const { storage } = this.#parts;
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

  #answerCrypto(op: number, request: RequestReader): Uint8Array | undefined {
    const { crypto } = this.#parts;
    switch (op) {
      case HostOp.sha256Create:
        return message().u32(this.#digests.add(crypto.createSha256())).bytes;
      case HostOp.sha256Write:
        this.#digests.get(request.u32()).write(request.rest());
        return NOTHING;
      case HostOp.sha256Close:
        return this.#digests.take(request.u32()).close();
      case HostOp.hmacSha256:
        return crypto.hmacSha256(request.part(request.u32()), request.rest());
      case HostOp.seal:
        return crypto.seal(request.part(32), request.part(12), request.part(request.u32()), request.rest());
      case HostOp.open: {
        const plaintext = crypto.open(
          request.part(32),
          request.part(12),
          request.part(request.u32()),
          request.rest(),
        );
        if (plaintext === undefined) throw new Refusal("tag", "the tag does not match");
        return plaintext;
      }
      default:
        return undefined;
    }
  }

  #answerNetwork(op: number, request: RequestReader): Uint8Array {
    switch (op) {
      case HostOp.connect:
        return this.#connect(request.u32(), request.u32(), request.text());
      case HostOp.readSocket: {
        const entry = this.#sockets.get(request.u32());
        const into = new Uint8Array(request.u32());
        if (entry === undefined) return NOTHING;
        const count = entry.socket.read(into);
        entry.readable -= count;
        return into.subarray(0, count);
      }
      case HostOp.writeSocket:
        this.#sockets.get(request.u32())?.socket.write(request.rest());
        return NOTHING;
      case HostOp.closeSocket: {
        const id = request.u32();
        this.#sockets.get(id)?.socket.close();
        this.#sockets.delete(id);
        return NOTHING;
      }
      case HostOp.find:
        return this.#find(request.u32(), request.f64());
      case HostOp.findClose: {
        const id = request.u32();
        this.#searches.get(id)?.close();
        this.#searches.delete(id);
        return NOTHING;
      }
      default:
        throw new Error(`host call ${String(op)} is unknown`);
    }
  }

  #connect(id: number, port: number, host: string): Uint8Array {
    if (this.#sockets.size >= MAX_HANDLES) throw new Error("too many sockets are open");
    const socket = this.#parts.network.connect({
      host,
      port,
      // What can be read or written is asked when the firmware is ready to hear it: it may have changed by then.
      onReadable: (count) => {
        const entry = this.#sockets.get(id);
        if (entry === undefined) return;
        entry.readable = count;
        if (entry.isReadableTold) return;
        entry.isReadableTold = true;
        this.#emit(() => {
          entry.isReadableTold = false;
          const readable = this.#sockets.has(id) ? entry.readable : 0;
          return readable > 0 ? message().u8(HostEvent.readable).u32(id).u32(readable).bytes : undefined;
        });
      },
      onWritable: () => {
        const entry = this.#sockets.get(id);
        if (entry === undefined || entry.isWritableTold) return;
        entry.isWritableTold = true;
        this.#emit(() => {
          entry.isWritableTold = false;
          if (entry.socket.writableBytes === 0 || !this.#sockets.has(id)) return undefined;
          return message().u8(HostEvent.writable).u32(id).u32(entry.socket.writableBytes).bytes;
        });
      },
      onError: (error) => {
        this.#sockets.delete(id);
        this.#emit(message().u8(HostEvent.socketError).u32(id).text(asRefusal(error).message).bytes);
      },
    });
    this.#sockets.set(id, { socket, readable: 0, isReadableTold: false, isWritableTold: false });
    return NOTHING;
  }

  #find(id: number, timeoutMs: number): Uint8Array {
    const { discovery } = this.#parts;
    if (discovery === undefined) throw new Error("this board has no discovery");
    const search = discovery.find({
      timeoutMs,
      onFound: ({ host, port, name }) => {
        const text = Buffer.from(host);
        this.#emit(
          message().u8(HostEvent.found).u32(id).u32(port).u8(text.length).text(host).text(name).bytes,
        );
      },
      onDone: () => {
        this.#searches.delete(id);
        this.#emit(message().u8(HostEvent.findDone).u32(id).bytes);
      },
    });
    this.#searches.set(id, search);
    return NOTHING;
  }
}

class Handles<T> {
  readonly #kind: string;
  readonly #items = new Map<number, T>();
  #count = 0;

  constructor(kind: string) {
    this.#kind = kind;
  }

  add(item: T): number {
    if (this.#items.size >= MAX_HANDLES)
      throw new Error(`the firmware holds more than ${String(MAX_HANDLES)} ${this.#kind}s`);
    this.#items.set(++this.#count, item);
    return this.#count;
  }

  get(id: number): T {
    const item = this.#items.get(id);
    if (item === undefined) throw new Error(`the ${this.#kind} is closed`);
    return item;
  }

  remove(id: number): T | undefined {
    const item = this.#items.get(id);
    this.#items.delete(id);
    return item;
  }

  take(id: number): T {
    const item = this.get(id);
    this.#items.delete(id);
    return item;
  }
}

class Refusal extends Error {
  readonly code: string;
  constructor(code: string, text: string) {
    super(text);
    this.code = code;
  }
}

function asRefusal(error: unknown): Error {
  if (error instanceof StorageError || error instanceof ConnectionError || error instanceof Refusal)
    return new Error(`${error.code}${REFUSAL_SEPARATOR}${error.message}`, { cause: error });
  if (error instanceof Error)
    return new Error(`${error.name}${REFUSAL_SEPARATOR}${error.message}`, { cause: error });
  return new Error(`Error${REFUSAL_SEPARATOR}${String(error)}`);
}
