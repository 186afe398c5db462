// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { type Socket, connect } from "node:net";
import type { Server } from "node:tls";
import { FrameType, encodeFrame } from "../firmware/protocol/frame";
import { MAX_WINDOW_BYTES } from "../firmware/protocol/limits";
import { CloseReason, accept, close, open } from "../firmware/protocol/link-messages";
import { encode } from "../firmware/protocol/message";
import { EventLog } from "./events";
import { readIdentity } from "./identity-files";
import {
  LOGGED_REFUSALS_PER_SECOND,
  MAX_HANDSHAKES,
  MAX_LINK_QUEUE_BYTES,
  MAX_QUEUE_BYTES,
  MAX_REMEMBERED_IDS,
  MAX_SESSIONS,
} from "./limits";
import { RelayServer } from "./server";
import { SessionCache } from "./session-cache";
import { Bench, HELLO, settled } from "./test-bench";
import { type LogLine, TestRelay } from "./test-relay";
import type { TestSocket } from "./test-socket";

/** A client's channel to cam1 with a full window towards the client; `id` is the same at both ends in these tests. */
function openChannel(client: TestSocket, device: TestSocket, id: number): void {
  const opening = encode(open, { peer: "cam1", creditBytes: MAX_WINDOW_BYTES, maxFrameBytes: 4096 });
  client.arrive(encodeFrame(FrameType.open, id, opening));
  device.arrive(encodeFrame(FrameType.accept, id, encode(accept, { creditBytes: 0, maxFrameBytes: 4096 })));
}

function closeChannel(socket: TestSocket, id: number): void {
  socket.arrive(encodeFrame(FrameType.close, id, encode(close, { reason: CloseReason.done })));
}

describe("relay: limits", () => {
  const data = (id: number): Uint8Array => encodeFrame(FrameType.data, id, new Uint8Array(4096));

  function connected(): { bench: Bench; device: TestSocket; client: TestSocket } {
    const bench = new Bench();
    const device = bench.connect("device", "cam1");
    device.arrive(HELLO);
    const client = bench.connect("client", "laptop");
    client.arrive(HELLO);
    return { bench, device, client };
  }

  it("bounds what closed channels leave behind for a connection that does not read", async () => {
    const { bench, device, client } = connected();
    client.isReading = false;
    const limit = Math.min(MAX_LINK_QUEUE_BYTES, MAX_QUEUE_BYTES);
    for (let id = 1; !bench.reasons.includes(CloseReason.busy); id++) {
      assert.ok(id < 200, "never refused");
      bench.nowMs += 1000;
      openChannel(client, device, id);
      for (let sent = 0; sent + 4102 <= MAX_WINDOW_BYTES; sent += 4102) device.arrive(data(id));
      closeChannel(device, id);
      await settled();
      assert.ok(bench.pool.queuedBytes < limit + 4200);
    }
  });

  it("closes channels to connections that are behind when all together have too much", async () => {
    const { bench, device, client } = connected();
    const reader = bench.connect("client", "reader");
    reader.arrive(HELLO);
    client.isReading = false;
    openChannel(client, device, 1);
    openChannel(reader, device, 2);
    for (let i = 0; i < 100; i++) device.arrive(data(1));
    await settled();
    bench.pool.queuedBytes += MAX_QUEUE_BYTES;
    device.arrive(data(2));
    assert.deepEqual(bench.reasons, []);
    device.arrive(data(1));
    assert.deepEqual(bench.reasons, [CloseReason.busy]);
  });

  it("remembers a bounded number of closed channels", async () => {
    const { bench, device, client } = connected();
    for (let id = 1; id <= MAX_REMEMBERED_IDS + 1; id++) {
      bench.nowMs += 1000;
      openChannel(client, device, id);
      closeChannel(client, id);
      await settled();
    }
    device.arrive(data(2));
    assert.deepEqual(bench.ends, []);
    device.arrive(data(1));
    assert.equal(bench.ends.length, 1);
  });

  it("keeps a bounded number of TLS sessions, those that were used last", () => {
    const server = new EventEmitter();
    const cache = new SessionCache();
    cache.attach(server as unknown as Server);
    const idOf = (number: number): Buffer => Buffer.from(`session ${String(number)}`);
    const has = (number: number): boolean => {
      const found: (Buffer | null)[] = [];
      server.emit("resumeSession", idOf(number), (_error: null, session: Buffer | null) =>
        found.push(session),
      );
      return found[0] !== null;
    };
    let done = 0;
    for (let i = 0; i < MAX_SESSIONS + 1; i++) {
      if (i === MAX_SESSIONS) assert.ok(has(0));
      server.emit("newSession", idOf(i), Buffer.from("session"), () => done++);
    }
    assert.deepEqual([cache.size, done], [MAX_SESSIONS, MAX_SESSIONS + 1]);
    assert.deepEqual([has(0), has(1), has(2), has(MAX_SESSIONS)], [true, false, true, true]);
  });

  it("writes a bounded number of refusals a second, and how many it did not write", async () => {
    const lines: LogLine[] = [];
    const log = new EventLog((line) => lines.push(JSON.parse(line) as LogLine));
    for (let i = 0; i < 500; i++) log.addRefusal({ reason: "revoked" });
    assert.ok(lines.length >= LOGGED_REFUSALS_PER_SECOND && lines.length < LOGGED_REFUSALS_PER_SECOND * 2);
    await new Promise((resolve) => setTimeout(resolve, 200));
    log.addRefusal({ reason: "revoked" });
    assert.ok(Number(lines.at(-1)?.["unwritten"]) > 400);
  });

  it("bounds handshakes under way, and goes on serving once they are gone", async () => {
    const relay = await TestRelay.start();
    const strangers: Socket[] = [];
    for (let i = 0; i < MAX_HANDSHAKES + 1; i++) {
      const socket = connect(relay.port, "127.0.0.1");
      socket.on("error", () => undefined);
      await new Promise((resolve) => socket.once("connect", resolve));
      strangers.push(socket);
    }
    await relay.logged({ event: "refused", reason: "tooManyHandshakes" });
    for (const socket of strangers) socket.destroy();
    await relay.logged({ event: "refused", reason: "ECONNRESET" });
    let isJoined = false;
    for (let tries = 0; tries < 50 && !isJoined; tries++)
      isJoined = await relay.join("device", "cam1").then(
        () => true,
        () => false,
      );
    assert.ok(isJoined);
    await relay.stop();
  });

  it("cuts off a handshake that takes too long", async () => {
    const relay = await TestRelay.start();
    const server = new RelayServer({
      name: "relay1",
      identity: await readIdentity(relay.files),
      heartbeatSeconds: 20,
      events: new EventLog(() => undefined),
      handshakeTimeoutMs: 200,
    });
    const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
    const socket = connect(port, "127.0.0.1");
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
    assert.equal(server.refusals.get("ERR_TLS_HANDSHAKE_TIMEOUT"), 1);
    await server.stop();
    await relay.stop();
  });
});
