// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type Socket, connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { FrameType, encodeFrame } from "../firmware/protocol/frame";
import { CloseReason, type LineAnswer, askLine, join, line } from "../firmware/protocol/link-messages";
import { decode, encode } from "../firmware/protocol/message";
import { openingOf } from "./door";
import { JOIN_TIMEOUT_MS, LINE_QUEUE_BYTES, MAX_LINES_PER_LINK } from "./limits";
import { Bench, HELLO, settled, typesIn } from "./test-bench";
import type { TestEndpoint } from "./test-endpoint";
import { TestRelay } from "./test-relay";

function joinFrame(ticket: Uint8Array): Uint8Array {
  return encodeFrame(FrameType.join, 0, encode(join, { ticket }));
}

/** One end of a line with what has come to it. */
class End {
  readonly socket: Socket;
  received: Buffer = Buffer.alloc(0);
  isClosed = false;
  #wake: () => void = () => undefined;

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port });
    this.socket.on("error", () => undefined);
    this.socket.on("data", (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
      this.#wake();
    });
    this.socket.on("close", () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  async until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + 8000;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`only ${String(this.received.length)} bytes came`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

describe("relay: lines", () => {
  let relay: TestRelay;
  let device: TestEndpoint;
  let client: TestEndpoint;
  let ends: End[];
  beforeEach(async () => {
    ends = [];
    relay = await TestRelay.start({ metrics: { host: "127.0.0.1", port: 0 } });
    device = await relay.join("device", "cam1");
    client = await relay.join("client", "laptop");
  });
  afterEach(async () => {
    for (const { socket } of ends) socket.destroy();
    await relay.stop();
  });

  async function ask(peer = "cam1"): Promise<LineAnswer> {
    client.send(FrameType.askLine, 0, askLine, { peer });
    return decode(line, (await client.next(FrameType.line)).payload);
  }

  function end(...first: Uint8Array[]): End {
    const made = new End(relay.port);
    ends.push(made);
    for (const bytes of first) made.socket.write(bytes);
    return made;
  }

  /** Both ends of a line, joined. */
  async function joined(): Promise<{ ours: End; theirs: End }> {
    const { clientTicket, deviceTicket } = await ask();
    return { ours: end(joinFrame(clientTicket)), theirs: end(joinFrame(deviceTicket)) };
  }

  async function metric(name: string): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${String(relay.metricsPort)}/metrics`);
    return Number(
      new RegExp(`^coffer_relay_${name.replace(/[{}]/g, "\\$&")} (\\d+)`, "m").exec(
        await response.text(),
      )?.[1],
    );
  }

  it("pass what each end sends to the other, unchanged and in order, whichever joins first", async () => {
    for (const isClientFirst of [true, false]) {
      const { clientTicket, deviceTicket } = await ask();
      const tickets = isClientFirst ? [clientTicket, deviceTicket] : [deviceTicket, clientTicket];
      const [there, back] = [randomBytes(3_000_000), randomBytes(2_000_000)];
      // Sent before the other end is there: it waits.
      const [first, second] = tickets.map((ticket, i) => end(joinFrame(ticket), i === 0 ? there : back));
      assert.ok(first && second);
      await second.until(() => second.received.length === there.length);
      await first.until(() => first.received.length === back.length);
      assert.ok(second.received.equals(there) && first.received.equals(back));
    }
    assert.equal(await metric("lines"), 2);
  });

  it("are recognised by the server name of a TLS client's hello, and TLS goes through to the other end", async () => {
    const { clientTicket, deviceTicket } = await ask();
    const theirs = end(joinFrame(deviceTicket));
    const name = Buffer.from(clientTicket).toString("hex");
    const socket = connectTls({
      host: "127.0.0.1",
      port: relay.port,
      servername: `${name.slice(0, 32)}.${name.slice(32)}.line`,
    });
    socket.on("error", () => undefined);
    await theirs.until(() => theirs.received.length > 100);
    assert.equal(theirs.received[0], 22);
    assert.ok(theirs.received.includes(name.slice(0, 32)));
    socket.destroy();
  });

  it("end for both when one end closes, with all that was on its way", async () => {
    const { ours, theirs } = await joined();
    const last = randomBytes(500_000);
    ours.socket.end(last);
    await theirs.until(() => theirs.isClosed);
    assert.ok(theirs.received.equals(last));
    await ours.until(() => ours.isClosed);
    const logged = await relay.logged({ event: "lineClosed", name: "laptop", device: "cam1" });
    assert.equal(logged["bytes"], last.length);
    assert.equal(await metric("lines"), 0);
  });

  for (const who of ["client", "device"] as const)
    it(`end when the ${who}'s link ends`, async () => {
      const { ours, theirs } = await joined();
      ours.socket.write("a");
      await theirs.until(() => theirs.received.length === 1);
      (who === "client" ? client : device).destroy();
      await ours.until(() => ours.isClosed);
      await theirs.until(() => theirs.isClosed);
    });

  it("take a ticket once, and none that nobody gave out", async () => {
    const { clientTicket, deviceTicket } = await ask();
    const first = end(joinFrame(clientTicket));
    const theirs = end(joinFrame(deviceTicket));
    first.socket.write("first");
    await theirs.until(() => theirs.received.length === 5);
    for (const ticket of [clientTicket, deviceTicket, randomBytes(32)]) {
      const again = end(joinFrame(ticket));
      await again.until(() => again.isClosed);
    }
    assert.equal(first.isClosed || theirs.isClosed, false);
    await relay.logged({ event: "refused", reason: "unknownTicket" });
  });

  it("are not given out for devices that are not there, nor without end", async () => {
    assert.equal((await ask("nobody")).reason, CloseReason.unknownDevice);
    for (let i = 0; i < MAX_LINES_PER_LINK; i++) assert.equal((await ask()).reason, CloseReason.done);
    const refused = await ask();
    assert.equal(refused.reason, CloseReason.busy);
    for (const ticket of [refused.clientTicket, refused.deviceTicket])
      assert.deepEqual([...ticket], new Array(32).fill(0));
  });

  it("are asked for by clients alone", async () => {
    device.send(FrameType.askLine, 0, askLine, { peer: "cam1" });
    await relay.logged({ event: "left", name: "cam1" });
  });

  it("are read no faster than the other end takes it", async () => {
    const { ours, theirs } = await joined();
    theirs.socket.pause();
    let sent = 0;
    const piece = Buffer.alloc(64 * 1024);
    const pump = (): void => {
      while (ours.socket.writable && ours.socket.write(piece)) sent += piece.length;
    };
    ours.socket.on("drain", pump);
    pump();
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    const queued = await metric("queued_bytes");
    assert.ok(queued > 0 && queued <= 2 * LINE_QUEUE_BYTES, `${String(queued)} bytes wait in the relay`);
    // The rest is in the kernel's buffers of both connections.
    assert.ok((await metric('bytes_total{direction="to_device"}')) < 32 * 1024 * 1024);
  });

  it("that only one end has joined are given up after a while", async () => {
    const bench = new Bench();
    const [laptop, cam] = [bench.connect("client", "laptop"), bench.connect("device", "cam1")];
    for (const socket of [cam, laptop]) socket.arrive(HELLO);
    laptop.arrive(encodeFrame(FrameType.askLine, 0, encode(askLine, { peer: "cam1" })));
    await settled();
    assert.ok(typesIn(laptop).includes(FrameType.line));
    bench.tick(JOIN_TIMEOUT_MS / 1000 - 1);
    assert.equal(bench.pairing.lines.count, 1);
    bench.tick(2);
    assert.equal(bench.pairing.lines.count, 0);
  });

  it("may finish when the relay stops, for a while", async () => {
    const { ours, theirs } = await joined();
    ours.socket.write("first");
    await theirs.until(() => theirs.received.length === 5);
    relay.abort();
    await client.next(FrameType.goAway);
    ours.socket.write("last");
    await theirs.until(() => theirs.received.length === 9);
    ours.socket.end();
    await relay.stopped();
  });

  it("do not take the place of TLS: a connection in single bytes is served as before", async () => {
    const slow = await relay.join("client", "desk");
    assert.equal(slow.isClosed, false);
    const { deviceTicket, clientTicket } = await ask();
    const ours = end(joinFrame(clientTicket));
    const theirs = end();
    for (const byte of joinFrame(deviceTicket)) {
      theirs.socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    ours.socket.write("x");
    await theirs.until(() => theirs.received.length === 1);
  });
});

describe("relay: what a connection begins with", () => {
  const ticket = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
  const frame = Buffer.from(joinFrame(ticket));

  it("is a ticket once the whole frame is there", () => {
    for (let i = 1; i < frame.length; i++) assert.equal(openingOf(frame.subarray(0, i)), undefined);
    assert.deepEqual(openingOf(frame), { ticket, usedBytes: frame.length });
    assert.equal(openingOf(Buffer.concat([frame, frame]))?.usedBytes, frame.length);
  });

  it("is TLS for everything else, also for a frame that is not quite one", () => {
    for (const at of [0, 1, 2, 3, 4, 5]) {
      const changed = Buffer.from(frame);
      changed[at] = (changed[at] ?? 0) ^ 0x40;
      assert.deepEqual(openingOf(changed), { ticket: undefined, usedBytes: 0 });
    }
    for (const other of [Buffer.from("GET / HTTP/1.1\r\n"), Buffer.of(0), Buffer.of(22, 3, 1, 255, 255)])
      assert.deepEqual(openingOf(other), { ticket: undefined, usedBytes: 0 });
  });

  it("is told of any bytes, whole or cut anywhere", () => {
    const seed = Number(process.env["COFFER_TEST_SEED"] ?? randomBytes(3).readUIntBE(0, 3));
    let state = seed + 1;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    const hello = helloWith(`${"0".repeat(32)}.${"f".repeat(32)}.line`);
    assert.equal(openingOf(hello)?.ticket?.length, 32);
    for (let i = 0; i < hello.length; i++) {
      const cut = openingOf(hello.subarray(0, i));
      assert.ok(cut?.ticket === undefined, `cut at ${String(i)}`);
    }
    for (let round = 0; round < 20_000; round++) {
      const changed = Buffer.from(hello);
      for (let n = random(4) + 1; n > 0; n--) changed[random(changed.length)] = random(256);
      const opening = openingOf(changed.subarray(0, random(changed.length) + 1));
      assert.ok(!opening || opening.usedBytes <= 38, `COFFER_TEST_SEED=${String(seed)}`);
    }
  });
});

/** A ClientHello with one extension, the server name. */
function helloWith(name: string): Buffer {
  const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 0xff);
  const list = Buffer.concat([Buffer.of(0), u16(name.length), Buffer.from(name)]);
  const content = Buffer.concat([u16(list.length), list]);
  const extension = Buffer.concat([u16(0), u16(content.length), content]);
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    Buffer.of(0),
    u16(2),
    u16(0x1301),
    Buffer.of(1, 0),
    u16(extension.length),
    extension,
  ]);
  const message = Buffer.concat([Buffer.of(1, 0), u16(body.length), body]);
  return Buffer.concat([Buffer.of(22, 3, 1), u16(message.length), message]);
}
