// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

import { NetworkProxy } from "./network-proxy";

describe("NetworkProxy", () => {
  let server: Server;
  let proxy: NetworkProxy;
  let port: number;

  beforeEach(async () => {
    server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    proxy = new NetworkProxy({ host: "127.0.0.1", port: (server.address() as AddressInfo).port }, 3);
    port = await proxy.start();
  });
  afterEach(async () => {
    await proxy.stop();
    await new Promise((resolve) => server.close(resolve));
  });

  async function open(): Promise<Socket> {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("connect", resolve));
    return socket;
  }
  function heard(socket: Socket, count: number): Promise<Buffer> {
    return new Promise((resolve) => {
      let all = Buffer.alloc(0);
      socket.on("data", (bytes: Buffer) => {
        all = Buffer.concat([all, bytes]);
        if (all.length >= count) resolve(all);
      });
    });
  }
  const isSilent = (socket: Socket) =>
    new Promise<boolean>((resolve) => {
      socket.once("data", () => {
        resolve(false);
      });
      setTimeout(() => {
        resolve(true);
      }, 40);
    });

  it("passes everything unchanged", async () => {
    const socket = await open();
    const sent = Buffer.alloc(1_000_000, "some bytes that repeat");
    const echo = heard(socket, sent.length);
    socket.end(sent);
    assert.ok((await echo).equals(sent));
    await new Promise((resolve) => socket.once("close", resolve));
    assert.ok(proxy.bytesPassed >= 2 * sent.length);
  });

  it("holds what comes while it stalls, and passes it afterwards", async () => {
    const socket = await open();
    proxy.stall();
    socket.write("one");
    assert.ok(await isSilent(socket));
    const echo = heard(socket, 3);
    proxy.resume();
    assert.equal((await echo).toString(), "one");
  });

  it("breaks connections, and takes new ones", async () => {
    const socket = await open();
    const closed = new Promise((resolve) => socket.once("close", resolve));
    const echo = heard(socket, 1);
    socket.write("x");
    await echo;
    proxy.drop();
    await closed;
    const again = await open();
    const second = heard(again, 1);
    again.write("y");
    assert.equal((await second).toString(), "y");
  });

  it("leaves connections half open", async () => {
    const socket = await open();
    const echo = heard(socket, 1);
    socket.write("x");
    await echo;
    proxy.halfOpen();
    socket.write("y");
    assert.ok(await isSilent(socket));
    assert.equal(socket.destroyed, false);
  });

  it("refuses new connections when told to", async () => {
    proxy.refuse(true);
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("close", resolve));
  });

  it("delays and throttles", async () => {
    proxy.conditions = { delayMs: 20, jitterMs: 0, bytesPerSecond: 100_000 };
    const socket = await open();
    const start = performance.now();
    const echo = heard(socket, 5000);
    socket.write(Buffer.alloc(5000));
    await echo;
    const took = performance.now() - start;
    assert.ok(took >= 2 * (20 + 50) - 5, `${String(took)} ms`); // both ways: 20 ms delay, 50 ms for 5000 bytes
  });

  it("lets connections overtake each other, never the bytes of one", async () => {
    proxy.conditions = { delayMs: 0, jitterMs: 25, bytesPerSecond: 0 };
    const sockets = await Promise.all(Array.from({ length: 8 }, open));
    const order: number[] = [];
    await Promise.all(
      sockets.map(async (socket, n) => {
        const echo = heard(socket, 30);
        for (let i = 0; i < 10; i++) socket.write(String(100 + i));
        assert.equal((await echo).toString(), "100101102103104105106107108109");
        order.push(n);
      }),
    );
    assert.notDeepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7]);
  });
});
