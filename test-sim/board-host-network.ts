// SPDX-License-Identifier: MIT
/** Answers the board's host calls to network and discovery. */
import type { Discovery, Network, SecureSocket } from "../firmware/core/io";
import { HostEvent, HostOp } from "../firmware/platform/xs-board/host-protocol";
import { type RequestReader, message } from "./board-message";
import { MAX_HANDLES } from "./host-handles";
import { asRefusal } from "./host-refusal";
import type { XsEvent } from "./xs-machine";

const NOTHING = new Uint8Array(0);

interface SocketEntry {
  socket: SecureSocket;
  /** Bytes that can be read, as last heard. */
  readable: number;
  /** An event of the kind waits for the machine: one at a time. */
  isReadableTold: boolean;
  isWritableTold: boolean;
}

export class BoardNetworkHost {
  readonly #network: Network;
  readonly #discovery: Discovery | undefined;
  readonly #emit: (event: XsEvent) => void;
  /** By the numbers that the firmware gave them. */
  readonly #sockets = new Map<number, SocketEntry>();
  readonly #searches = new Map<number, { close(): void }>();

  constructor(network: Network, discovery: Discovery | undefined, emit: (event: XsEvent) => void) {
    this.#network = network;
    this.#discovery = discovery;
    this.#emit = emit;
  }

  /** Undefined: not a request to the network. */
  answer(op: number, request: RequestReader): Uint8Array | undefined {
    switch (op) {
      case HostOp.connect:
        return this.#connect(request.u32(), request.u32(), request.text(request.u32()), request.text());
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
        return undefined;
    }
  }

  /** `relayName`: empty for a relay that was not found but named. */
  #connect(id: number, port: number, host: string, relayName: string): Uint8Array {
    if (this.#sockets.size >= MAX_HANDLES) throw new Error("too many sockets are open");
    const socket = this.#network.connect({
      host,
      port,
      ...(relayName === "" ? {} : { relayName }),
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
    const discovery = this.#discovery;
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
