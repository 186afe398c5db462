// SPDX-License-Identifier: MIT
/**
 * The TCP connection that the SDK's TLS handshake is given, and then the records. It does three things: until the handshake
 * is over, the guard sees every byte first; what is thrown in a callback becomes a value (an exception there would end the
 * machine); and what is written without asking for room, the handshake's certificates, waits here until there is some.
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

export interface GuardedTcpOptions {
  address: string;
  port: number;
  tcp: TcpClass;
  guard: TlsGuard;
  /** `readable` says how much. */
  onReadable(): void;
  /** `roomBytes` says how much, and nothing waits. */
  onWritable(): void;
  onError(): void;
  /** One of the above threw. */
  onFailure(error: unknown): void;
}

const MAX_PENDING_BYTES = 8192;

export class GuardedTcp {
  /** Bytes that were reported and not read. Counted down by who reads. */
  readable = 0;
  /** Written by the SDK, read by nobody. */
  writable = 0;
  /** Bytes that can be written now. */
  roomBytes = 0;
  isConnected = false;
  readonly #guard: TlsGuard;
  readonly #socket: TcpSocket;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(options: GuardedTcpOptions) {
    const { address, port, tcp, guard } = options;
    this.#guard = guard;
    const attempt = (step: () => void): void => {
      try {
        step();
      } catch (error) {
        options.onFailure(error);
      }
    };
    const tellReadable = (): void => {
      options.onReadable();
    };
    const tellWritable = (): void => {
      this.#drain();
      if (this.#pendingBytes === 0) options.onWritable();
    };
    this.#socket = new tcp({
      address,
      port,
      nodelay: true,
      onReadable: (count) => {
        this.readable = count;
        attempt(tellReadable);
      },
      onWritable: (count) => {
        this.isConnected = true;
        this.roomBytes = count;
        attempt(tellWritable);
      },
      onError: () => {
        attempt(() => {
          options.onError();
        });
      },
    });
  }

  read(into: Uint8Array): void {
    this.#socket.read(into);
    if (!this.#guard.isOpen) this.#guard.received(into);
  }

  write(bytes: Uint8Array): number {
    this.#guard.sent(bytes);
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
