// SPDX-License-Identifier: MIT
/**
 * A datagram socket whose owner gets only what it asked for, one datagram a callback, and whose callbacks throw nothing: in a
 * callback of the SDK's that would end the machine. It is also the class that the SDK's mDNS is given as its socket.
 */

/** What is used of the SDK's `embedded:io/socket/udp`. */
export interface UdpSocket {
  read(): Datagram | undefined;
  write(bytes: Uint8Array, address: string, port: number): void;
  /** Joins a multicast group; not there on Linux. */
  add?(group: string): void;
  close(): void;
}

export type Datagram = ArrayBuffer & { address: string; port: number };

export type UdpClass = new (options: { port?: number; onReadable(count: number): void }) => UdpSocket;

export interface FilteredUdpOptions {
  udp: UdpClass;
  /** Whether the owner is to hear of it; called once for each. */
  accept(datagram: Datagram): boolean;
  onReadable(this: FilteredUdp, count: number): void;
  port?: number;
  /** The SDK's classes keep their owner here. */
  target?: unknown;
}

export class FilteredUdp {
  readonly target: unknown;
  readonly #options: FilteredUdpOptions;
  readonly #socket: UdpSocket;
  #datagram: Datagram | undefined;
  #isClosed = false;

  constructor(options: FilteredUdpOptions) {
    const { udp, port, target } = options;
    this.target = target;
    this.#options = options;
    this.#socket = new udp({
      ...(port === undefined ? {} : { port }),
      onReadable: (count) => {
        for (; count > 0 && !this.#isClosed; count--) this.#deliver();
      },
    });
  }

  /** Inside `onReadable`, once. */
  read(): Datagram | undefined {
    return this.#datagram;
  }

  write(bytes: Uint8Array, address: string, port: number): void {
    this.#socket.write(bytes, address, port);
  }

  /** Closes the socket when it fails: the owner, whose constructor calls it, cannot. */
  add(group: string): void {
    try {
      if (!this.#socket.add) throw new Error("multicast is not there on this platform");
      this.#socket.add(group);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }

  #deliver(): void {
    try {
      const datagram = this.#socket.read();
      if (!datagram || !this.#options.accept(datagram)) return;
      this.#datagram = datagram;
      this.#options.onReadable.call(this, 1);
    } catch {
      // What others send is theirs to get right.
    } finally {
      this.#datagram = undefined;
    }
  }
}
