// SPDX-License-Identifier: MIT
/**
 * The TCP class that the SDK's TLSSocket is given. Between the two it does three things: the guard sees every byte first;
 * what is thrown in a callback becomes a value (an exception there would end the machine); and what TLS writes without
 * asking for room, its certificates, waits here until there is some.
 *
 * RAM: MAX_PENDING_BYTES at most, during the handshake only.
 */
import type { TlsGuard } from "./tls-guard";

/** What is used of ECMA-419's TCP. */
export interface TcpSocket {
  read(into: Uint8Array): unknown;
  write(bytes: Uint8Array): unknown;
  close(): void;
}

export interface TcpOptions {
  address: string;
  port: number;
  nodelay: boolean;
  onReadable(count: number): void;
  onWritable(count: number): void;
  onError(): void;
}

export type TcpClass = new (options: TcpOptions) => TcpSocket;

/** Travels through TLSSocket's options as its `TCP`. */
export interface GuardedTcpDevice {
  io: typeof GuardedTcp;
  tcp: TcpClass;
  guard: TlsGuard;
  onMade(socket: GuardedTcp): void;
  onFailure(error: unknown): void;
}

const MAX_PENDING_BYTES = 8192;

export class GuardedTcp {
  /** Kept by TLS. */
  readable = 0;
  writable = 0;
  /** Bytes that can be written now. */
  roomBytes = 0;
  isConnected = false;
  readonly #device: GuardedTcpDevice;
  readonly #socket: TcpSocket;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(options: TcpOptions & { TCP: GuardedTcpDevice }) {
    const { address, port, TCP: device } = options;
    this.#device = device;
    const attempt = (step: () => void): void => {
      try {
        step();
      } catch (error) {
        device.onFailure(error);
      }
    };
    this.#socket = new device.tcp({
      address,
      port,
      nodelay: true,
      onReadable: (count) => {
        attempt(() => {
          options.onReadable(count);
        });
      },
      onWritable: (count) => {
        this.isConnected = true;
        this.roomBytes = count;
        attempt(() => {
          this.#drain();
          if (this.#pendingBytes === 0) options.onWritable(this.roomBytes);
        });
      },
      onError: () => {
        attempt(() => {
          options.onError();
        });
      },
    });
    device.onMade(this);
  }

  read(into: Uint8Array): void {
    this.#socket.read(into);
    this.#device.guard.received(into);
  }

  write(bytes: Uint8Array): number {
    this.#device.guard.sent(bytes);
    if (this.#pendingBytes === 0 && bytes.length <= this.roomBytes) return this.#send(bytes);
    if (this.#pendingBytes + bytes.length > MAX_PENDING_BYTES)
      throw new Error("TLS: more than there is room for");
    this.#pending.push(bytes.slice());
    this.#pendingBytes += bytes.length;
    this.#drain();
    return this.roomBytes;
  }

  close(): void {
    this.#pending = [];
    this.#socket.close();
  }

  #drain(): void {
    while (this.roomBytes > 0) {
      const next = this.#pending.shift();
      if (!next) return;
      const count = Math.min(next.length, this.roomBytes);
      this.#send(next.subarray(0, count));
      this.#pendingBytes -= count;
      if (count < next.length) this.#pending.unshift(next.subarray(count));
    }
  }

  #send(bytes: Uint8Array): number {
    const room = this.#socket.write(bytes);
    this.roomBytes = typeof room === "number" ? room : Math.max(0, this.roomBytes - bytes.length);
    return this.roomBytes;
  }
}
