// SPDX-License-Identifier: MIT
/**
 * A network between two ends on loopback: counts bytes, limits the speed, stalls, and is cut. It carries TLS, so it
 * sees no more than any router does.
 */
import { type Server, type Socket, connect, createServer } from "node:net";

export interface Wire {
  /** From the one who dials. */
  up: number;
  down: number;
}

export class TcpProxy {
  readonly port: number;
  readonly bytes: Wire = { up: 0, down: 0 };
  /** Both directions of each connection; undefined is as fast as it goes. */
  bytesPerSecond: number | undefined;
  readonly #server: Server;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  readonly #waiting = new Set<() => void>();
  #isStalled = false;

  private constructor(server: Server, port: number, target: number) {
    this.#server = server;
    this.port = port;
    this.#target = target;
    server.on("connection", (socket) => {
      this.#join(socket);
    });
  }

  /** Listens on `port`, or on a free one. */
  static async start(targetPort: number, port = 0): Promise<TcpProxy> {
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port");
    return new TcpProxy(server, address.port, targetPort);
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** From now on nothing passes, and nobody is told. */
  stall(): void {
    this.#isStalled = true;
  }

  resume(): void {
    this.#isStalled = false;
    for (const wake of [...this.#waiting]) wake();
    this.#waiting.clear();
  }

  /** Every connection breaks, with what was under way. New ones work. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    this.#sockets.clear();
  }

  async close(): Promise<void> {
    this.cut();
    this.resume();
    await new Promise((done) => this.#server.close(done));
  }

  #join(near: Socket): void {
    const far = connect(this.#target, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroySoon();
      });
    }
    void this.#carry(near, far, "up");
    void this.#carry(far, near, "down");
  }

  async #carry(from: Socket, to: Socket, direction: keyof Wire): Promise<void> {
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        if (this.#isStalled) await new Promise<void>((wake) => this.#waiting.add(wake));
        this.bytes[direction] += piece.length;
        if (!to.write(piece)) await new Promise<void>((wake) => to.once("drain", wake).once("close", wake));
        if (this.bytesPerSecond !== undefined) await pause((1000 * piece.length) / this.bytesPerSecond);
      }
      to.end();
    } catch {
      to.destroy();
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}
