// SPDX-License-Identifier: MIT
/** Between a device and its relay: passes everything on, but what comes from the relay record by record, to be tampered with. */
import { type Server, type Socket, connect, createServer } from "node:net";

const HEADER_BYTES = 5;
const APPLICATION_DATA = 23;

export class RecordProxy {
  /** What becomes of the first record of data from the relay, for one connection after the other. */
  readonly tampers: ((record: Buffer) => Buffer)[] = [];
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, port: number, target: number) {
    this.#server = server;
    this.port = port;
    server.on("connection", (near) => {
      this.#join(near, connect(target, "127.0.0.1"));
    });
  }

  static async start(target: number): Promise<RecordProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port");
    return new RecordProxy(server, address.port, target);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((done) => this.#server.close(done));
  }

  #join(near: Socket, far: Socket): void {
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroySoon();
      });
    }
    near.pipe(far);
    let tamper = this.tampers.shift();
    let rest = Buffer.alloc(0);
    far.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= HEADER_BYTES) {
        const end = HEADER_BYTES + rest.readUInt16BE(3);
        if (rest.length < end) return;
        const record = rest.subarray(0, end);
        rest = rest.subarray(end);
        if (tamper && record[0] === APPLICATION_DATA) {
          near.write(tamper(Buffer.from(record)));
          tamper = undefined;
        } else near.write(record);
      }
    });
  }
}
