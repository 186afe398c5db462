// SPDX-License-Identifier: MIT
/** The device on the XS engine against a real relay: boot, power, reset, network, memory. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";

import { BUILD_MS, BoardBench, passUntil, until } from "./board-bench";
import { NetworkProxy } from "./network-proxy";

describe("Board", function () {
  this.timeout(30_000);
  let bench: BoardBench;

  before(async function () {
    this.timeout(BUILD_MS);
    bench = await BoardBench.start();
  });
  after(() => bench.stop());
  afterEach(() => bench.clear());

  it("boots, goes online, and tells a client about itself", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    const status = await (await bench.client()).status();
    assert.equal(status.host, "xs-board");
    assert.equal(board.exit, undefined);
  });

  it("tells a client what it said since its start, and how it started before", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    await board.reset();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    const { start, lines } = await client.deviceLog(0);
    assert.equal(start, 2);
    assert.match(lines[0]?.text ?? "", /^device cam1 .* on xs-board, start 2 \(software\)$/);
    assert.ok(lines.some(({ text }) => text === "card: ready"));
    assert.ok(lines.some(({ text }) => text.startsWith("uplink: online at 127.0.0.1:")));
    const health = await client.health();
    assert.deepEqual([health?.isSafe, health?.exceptions, health?.exception], [false, 0, ""]);
  });

  it("stores a blob and gives it back, in the memory of an ESP32", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    const blob = randomBytes(300_000);
    const id = createHash("sha256").update(blob).digest();
    await client.put(id, [blob]);
    assert.deepEqual(await client.has([id]), [true]);
    assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
    const live = await board.collectGarbage();
    assert.ok(
      live.slots < live.slotsLimit * 0.9,
      `${String(live.slots)} of ${String(live.slotsLimit)} slots are live`,
    );
    assert.ok(
      live.chunkBytes < live.chunkBytesLimit * 0.9,
      `${String(live.chunkBytes)} bytes of chunks are live`,
    );
  });

  it("has a stored blob after the plug was pulled", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    const blob = randomBytes(50_000);
    const id = createHash("sha256").update(blob).digest();
    const client = await bench.client();
    await client.put(id, [blob]);
    await board.cutPower();
    assert.equal(board.exit?.reason, "powerCut");
    assert.equal(board.isOnline, false);
    await board.boot();
    await until("online again", () => board.isOnline);
    assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
  });

  it("is cut in the middle of a write when the card says so", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    board.card.cutAtWrite(20);
    const blob = randomBytes(100_000);
    const id = createHash("sha256").update(blob).digest();
    const put = client.put(id, [blob]);
    await until("the cut", () => board.exit?.reason === "powerCut");
    await board.boot();
    await put;
    assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
  });

  it("comes back when the network breaks", async () => {
    const proxy = new NetworkProxy({ host: "127.0.0.1", port: bench.relay.port });
    bench.atEnd(() => proxy.stop());
    const port = await proxy.start();
    const states: string[] = [];
    const board = bench.board({ relay: { host: "127.0.0.1", port }, onState: (state) => states.push(state) });
    await board.boot();
    await until("online", () => board.isOnline);
    proxy.drop();
    await until("online again", () => states.filter((state) => state === "online").length === 2);
    assert.deepEqual(states, ["online", "offline", "online"]);
  });

  it("waits in virtual time, at once", async () => {
    const board = bench.board({ relay: { host: "127.0.0.1", port: 1 }, virtualTime: true });
    await board.boot();
    const start = performance.now();
    const failures = () => board.logLines.filter((line) => line.startsWith("warn uplink")).length;
    // The refused connections are real, so each minute of the board lets Node's event loop turn too.
    for (let minute = 0; failures() < 5 && minute < 200; minute++) {
      await board.advance(60_000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.ok(failures() >= 5, "no five attempts in 200 minutes");
    assert.ok(performance.now() - start < 5000);
    assert.equal(board.exit, undefined);
  });

  it("finds a relay that announces itself", async () => {
    const board = bench.board({ relay: null, virtualTime: true });
    board.announce({ host: "localhost", port: bench.relay.port, name: "relay1" });
    await board.boot();
    await passUntil(board, () => board.isOnline);
    assert.ok(board.isOnline);
  });

  it("does not trust a relay that announces itself under another name", async () => {
    const board = bench.board({ relay: null, virtualTime: true });
    board.announce({ host: "localhost", port: bench.relay.port, name: "relay2" });
    await board.boot();
    await passUntil(board, () => board.isOnline, 30);
    assert.equal(board.isOnline, false);
    assert.ok(
      board.logLines.some((line) => line.includes("is not the relay relay2")),
      board.logLines.join("\n"),
    );
  });

  it("starts again when the reset button is pressed", async () => {
    const board = bench.board();
    await board.boot();
    await board.reset();
    assert.match(board.logLines.findLast((line) => line.includes("start 2")) ?? "", /software/);
    assert.equal(board.exit, undefined);
  });

  it("starts again when the firmware asks for it, in the image that is in its flash then", async () => {
    const said: string[] = [];
    const say = "hostTrace('info ' + String.fromArrayBuffer(hostCall(Uint8Array.of(7))));";
    const restart = "if (!globalThis.onHostEvent) hostCall(Uint8Array.of(8));";
    const board = bench.board({
      firmware: `export default function start() { ${say} ${restart} }`,
      onLog: (_, line) => {
        said.push(line);
        if (said.length === 1)
          board.image = `export default function start() { ${say} hostTrace('info second'); }`;
      },
    });
    const started = board.boot().catch(() => undefined); // this life never becomes idle
    await until("the second image", () => said.includes("second"));
    await started;
    assert.deepEqual(said, ["powerOn", "software", "second"]);
  });

  it("tells how the firmware ended when it ends by itself", async () => {
    const board = bench.board({ firmware: "export default function start() { throw new Error('broken') }" });
    await assert.rejects(board.boot(), /unhandledException.*broken/s);
    assert.equal(board.exit?.reason, "unhandledException");
  });
});
