// SPDX-License-Identifier: MIT
/** The network and discovery ports of the XS board: node:tls and UDP on Node's side of the link. */
import {
  ConnectionError,
  type ConnectionErrorCode,
  type Discovery,
  type FoundRelay,
  type Network,
  type SecureSocket,
  type SecureSocketOptions,
} from "../../core/io";
import { type HostLink, readRefusal } from "./host-link";
import { HostEvent, HostOp } from "./host-protocol";

export class XsNetwork implements Network {
  readonly #link: HostLink;
  /** Sockets that are open: the core has one connection, and one more while it changes it. */
  readonly #sockets = new Map<number, XsSecureSocket>();
  #count = 0;

  constructor(link: HostLink) {
    this.#link = link;
    link.handle(HostEvent.readable, (event) => this.#sockets.get(event.u32())?.readable(event.u32()));
    link.handle(HostEvent.writable, (event) => this.#sockets.get(event.u32())?.writable(event.u32()));
    link.handle(HostEvent.socketError, (event) => {
      const id = event.u32();
      const socket = this.#sockets.get(id);
      this.#sockets.delete(id);
      socket?.fail(event.text());
    });
  }

  connect(options: SecureSocketOptions): SecureSocket {
    const id = ++this.#count;
    const socket = new XsSecureSocket(this.#link, id, options, () => this.#sockets.delete(id));
    this.#sockets.set(id, socket);
    const { host, port, relayName = "" } = options;
    const request = this.#link.start(HostOp.connect).u32(id).u32(port).u32(host.length).ascii(host);
    request.ascii(relayName).call();
    return socket;
  }
}

class XsSecureSocket implements SecureSocket {
  writableBytes = 0;
  readonly #link: HostLink;
  readonly #id: number;
  readonly #options: SecureSocketOptions;
  readonly #forget: () => void;
  #isOpen = true;

  constructor(link: HostLink, id: number, options: SecureSocketOptions, forget: () => void) {
    this.#link = link;
    this.#id = id;
    this.#options = options;
    this.#forget = forget;
  }

  read(into: Uint8Array): number {
    if (!this.#isOpen) return 0;
    return this.#link.start(HostOp.readSocket).u32(this.#id).u32(into.length).callInto(into);
  }

  write(bytes: Uint8Array): void {
    if (bytes.length > this.writableBytes)
      throw new RangeError(`write: expected at most ${this.writableBytes} bytes, got ${bytes.length}`);
    this.writableBytes -= bytes.length;
    this.#link.start(HostOp.writeSocket).u32(this.#id).call(bytes);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.end();
    this.#forget();
    this.#link.start(HostOp.closeSocket).u32(this.#id).call();
  }

  readable(count: number): void {
    this.#options.onReadable(count);
  }

  /** `total`: all that can be written now; what is written before Node knows of it is already taken off by Node. */
  writable(total: number): void {
    this.writableBytes = total;
    if (total > 0) this.#options.onWritable(total);
  }

  fail(refusal: string): void {
    this.end();
    const { code, message } = readRefusal(refusal);
    this.#options.onError(new ConnectionError(code as ConnectionErrorCode, message));
  }

  private end(): void {
    this.#isOpen = false;
    this.writableBytes = 0;
  }
}

interface Search {
  onFound(relay: FoundRelay): void;
  onDone(): void;
}

export class XsDiscovery implements Discovery {
  readonly #link: HostLink;
  readonly #searches = new Map<number, Search>();
  #count = 0;

  constructor(link: HostLink) {
    this.#link = link;
    link.handle(HostEvent.found, (event) => {
      const search = this.#searches.get(event.u32());
      const port = event.u32();
      const host = event.text(event.u8());
      search?.onFound({ host, port, name: event.text() });
    });
    link.handle(HostEvent.findDone, (event) => {
      const id = event.u32();
      const search = this.#searches.get(id);
      this.#searches.delete(id);
      search?.onDone();
    });
  }

  find(options: Search & { timeoutMs: number }): { close(): void } {
    const id = ++this.#count;
    this.#searches.set(id, options);
    this.#link.start(HostOp.find).u32(id).f64(options.timeoutMs).call();
    return {
      close: () => {
        if (this.#searches.delete(id)) this.#link.start(HostOp.findClose).u32(id).call();
      },
    };
  }
}
