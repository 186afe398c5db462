// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { FRAME_HEADER_BYTES, FrameType, encodeFrame } from "../firmware/protocol/frame";
import { MAX_CHANNELS, MAX_FRAME_BYTES, MAX_WINDOW_BYTES } from "../firmware/protocol/limits";
import { CloseReason, accept, credit, open } from "../firmware/protocol/link-messages";
import { decode } from "../firmware/protocol/message";
import { LINK_WINDOW_BYTES, REQUEST_BURST } from "./limits";
import type { TestEndpoint } from "./test-endpoint";
import { TestRelay, identityOf } from "./test-relay";

describe("relay: channels", () => {
  let relay: TestRelay;
  let device: TestEndpoint;
  beforeEach(async () => {
    relay = await TestRelay.start({ metrics: { host: "127.0.0.1", port: 0 } });
    device = await relay.join("device", "cam1");
  });
  afterEach(async () => {
    await relay.stop();
  });

  /** Opens `id` with that much credit each way; returns the id on the device's connection. */
  async function channel(
    client: TestEndpoint,
    id: number,
    toClient = 1 << 20,
    toDevice = 1 << 20,
  ): Promise<number> {
    client.open(id, { creditBytes: toClient });
    const opened = await device.next(FrameType.open);
    device.accept(opened.channel, { creditBytes: toDevice });
    await client.next(FrameType.accept);
    return opened.channel;
  }

  async function queuedBytes(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${String(relay.metricsPort)}/metrics`);
    return Number(/^coffer_relay_queued_bytes (\d+)/m.exec(await response.text())?.[1]);
  }

  it("passes open, accept, data, credit and close on with the ids of each connection", async () => {
    const client = await relay.join("client", "laptop");
    client.open(7, { creditBytes: 5000, maxFrameBytes: 4096 });
    const opened = await device.next(FrameType.open);
    assert.deepEqual(decode(open, opened.payload), {
      peer: "laptop",
      creditBytes: 5000,
      maxFrameBytes: 4096,
    });
    device.accept(opened.channel, { creditBytes: 6000, maxFrameBytes: 8192 });
    const accepted = await client.next(FrameType.accept);
    assert.equal(accepted.channel, 7);
    assert.deepEqual(decode(accept, accepted.payload), { creditBytes: 6000, maxFrameBytes: 8192 });
    client.sendData(7, Buffer.from("up"));
    const up = await device.next(FrameType.data);
    assert.deepEqual([up.channel, up.payload.toString()], [opened.channel, "up"]);
    device.sendData(opened.channel, Buffer.from("down"));
    const down = await client.next(FrameType.data);
    assert.deepEqual([down.channel, down.payload.toString()], [7, "down"]);
    device.grant(opened.channel, 8);
    const granted = await client.next(FrameType.credit);
    assert.deepEqual([granted.channel, decode(credit, granted.payload).bytes], [7, 8]);
    client.close(7, 3);
    const closed = await device.next(FrameType.close);
    assert.deepEqual([closed.channel, closed.payload.readUInt16BE()], [opened.channel, 3]);
    await relay.logged({ event: "channelClosed", name: "laptop", device: "cam1", reason: "busy", bytes: 18 });
  });

  it("delivers what was sent before a close", async () => {
    const client = await relay.join("client", "laptop");
    const id = await channel(client, 1);
    for (let i = 0; i < 20; i++) device.sendData(id, Buffer.alloc(16378, i));
    device.close(id, 0);
    await client.next(FrameType.close);
    assert.equal(client.frames.filter(({ type }) => type === FrameType.data).length, 20);
  });

  it("passes on large streams unchanged, in both directions at once", async () => {
    const client = await relay.join("client", "laptop");
    const id = await channel(client, 1, MAX_WINDOW_BYTES, MAX_WINDOW_BYTES);
    const sizes = [0, 1, 5, 4096, 16378, 16377, 100, 9999];
    for (const [from, to, out] of [
      [client, device, 1],
      [device, client, id],
    ] as const) {
      let size = 0;
      for (let i = 0; size < 1_500_000; i++) {
        const payload = Buffer.alloc(sizes[i % sizes.length] ?? 0, i);
        size += payload.length + FRAME_HEADER_BYTES;
        from.sendData(out, payload);
      }
      await to.until(() => (to.dataBytes === size ? true : undefined), "all data");
      to.frames.forEach(({ payload }, i) => {
        assert.deepEqual(payload, Buffer.alloc(sizes[i % sizes.length] ?? 0, i));
      });
    }
  });

  it("closes a channel at both ends when credit is exceeded, and only that one", async () => {
    const client = await relay.join("client", "laptop");
    const good = await channel(client, 1);
    const bad = await channel(client, 2, 1 << 20, 5000);
    client.sendData(2, Buffer.alloc(5000 - FRAME_HEADER_BYTES));
    assert.equal((await device.next(FrameType.data)).channel, bad);
    client.sendData(2, Buffer.alloc(0));
    assert.equal(await client.nextReason(FrameType.close), CloseReason.creditExceeded);
    assert.equal(await device.nextReason(FrameType.close), CloseReason.creditExceeded);
    client.sendData(2, Buffer.alloc(10));
    client.sendData(1, Buffer.from("still here"));
    assert.equal((await device.next(FrameType.data)).channel, good);
  });

  it("closes a channel for data before the device has accepted it", async () => {
    const client = await relay.join("client", "laptop");
    client.open(1);
    await device.next(FrameType.open);
    client.sendData(1, Buffer.alloc(1));
    assert.equal(await client.nextReason(FrameType.close), CloseReason.protocol);
    client.open(2);
    const { channel: id } = await device.next(FrameType.open);
    device.sendData(id, Buffer.alloc(1));
    assert.equal(await device.nextReason(FrameType.close), CloseReason.protocol);
  });

  it("closes a channel for a frame larger than the other side takes", async () => {
    const board = await relay.connect(identityOf("device", "board"));
    await board.hello({ maxFrameBytes: 4096 });
    const client = await relay.join("client", "laptop");
    client.open(1, { peer: "board" });
    board.accept((await board.next(FrameType.open)).channel, { maxFrameBytes: MAX_FRAME_BYTES });
    assert.equal(decode(accept, (await client.next(FrameType.accept)).payload).maxFrameBytes, 4096);
    client.sendData(1, Buffer.alloc(4096));
    await board.next(FrameType.data);
    client.sendData(1, Buffer.alloc(4097));
    assert.equal(await client.nextReason(FrameType.close), CloseReason.protocol);
    assert.equal(await board.nextReason(FrameType.close), CloseReason.protocol);
  });

  it("passes on no more credit than the window, however much is granted", async () => {
    const client = await relay.join("client", "laptop");
    client.open(1, { creditBytes: 0xffffffff });
    const opened = await device.next(FrameType.open);
    assert.equal(decode(open, opened.payload).creditBytes, MAX_WINDOW_BYTES);
    device.accept(opened.channel, { creditBytes: 1000 });
    for (let i = 0; i < 5; i++) device.grant(opened.channel, 0xffffffff);
    let granted = 0;
    while (granted < MAX_WINDOW_BYTES - 1000)
      granted += decode(credit, (await client.next(FrameType.credit)).payload).bytes;
    assert.equal(granted, MAX_WINDOW_BYTES - 1000);
  });

  it("passes on what it withheld once there is room: a receiver's window may be larger than its own", async () => {
    const client = await relay.join("client", "laptop");
    let id = 0;
    for (let channels = 1; channels <= 64; channels++) id = await channel(client, channels);
    // The window of the last one is 256 KiB here; this client grants when it has received 512.
    const receiverBytes = 1 << 20;
    let ungranted = 0;
    client.countsData = true;
    client.onData = ({ payload }) => {
      ungranted += payload.length + FRAME_HEADER_BYTES;
      if (ungranted * 2 < receiverBytes) return;
      client.grant(64, ungranted);
      ungranted = 0;
    };
    let window = LINK_WINDOW_BYTES / 64;
    for (let sent = 0; sent < 4 * receiverBytes; sent += 16384) {
      while (window < 16384) window += decode(credit, (await device.next(FrameType.credit)).payload).bytes;
      window -= 16384;
      device.sendData(id, Buffer.alloc(16384 - FRAME_HEADER_BYTES));
    }
    await client.until(() => (client.dataBytes === 4 * receiverBytes ? true : undefined), "all data");
  });

  it("queues no more than a window for a client that grants without reading", async () => {
    const client = await relay.join("client", "laptop");
    const id = await channel(client, 1, MAX_WINDOW_BYTES);
    client.socket.pause();
    let window = MAX_WINDOW_BYTES;
    let sentBytes = 0;
    for (let round = 0; round < 40; round++) {
      for (; window >= 16384; window -= 16384, sentBytes += 16384) device.sendData(id, Buffer.alloc(16378));
      client.grant(1, MAX_WINDOW_BYTES);
      await new Promise((resolve) => setTimeout(resolve, 20));
      for (const { payload } of device.frames.splice(0)) window += decode(credit, payload).bytes;
    }
    assert.ok((await queuedBytes()) <= MAX_WINDOW_BYTES * 1.1);
    // What left the relay is in the kernel's buffers of a connection on one machine.
    assert.ok(sentBytes < 30_000_000, `${String(sentBytes)} bytes were taken`);
  });

  it("keeps a fast client fast beside one that does not read", async () => {
    const fast = await relay.join("client", "fast");
    const aloneMs = await stream(fast);
    const slow = await relay.join("client", "slow");
    const id = await channel(slow, 1, MAX_WINDOW_BYTES);
    slow.socket.pause();
    for (let sent = 0; sent + 16384 <= MAX_WINDOW_BYTES; sent += 16384)
      device.sendData(id, Buffer.alloc(16378));
    const besideMs = await stream(fast);
    assert.ok(besideMs < aloneMs * 3 + 300, `alone ${String(aloneMs)} ms, beside ${String(besideMs)} ms`);
    assert.ok((await queuedBytes()) <= MAX_WINDOW_BYTES * 1.1);
    slow.socket.resume();
    await slow.until(
      () => (slow.dataBytes > MAX_WINDOW_BYTES - 16384 ? true : undefined),
      "the slow client's data",
    );
  });

  /** 32 MiB from the device to a client that reads and grants; how long it took. */
  async function stream(client: TestEndpoint): Promise<number> {
    const id = await channel(client, 1, MAX_WINDOW_BYTES);
    const from = client.dataBytes;
    let ungranted = 0;
    client.countsData = true;
    client.onData = ({ payload }) => {
      ungranted += payload.length + FRAME_HEADER_BYTES;
      if (ungranted < 262_144) return;
      client.grant(1, ungranted);
      ungranted = 0;
    };
    const startedMs = performance.now();
    const payload = encodeFrame(FrameType.data, id, Buffer.alloc(16378));
    let window = MAX_WINDOW_BYTES;
    for (let i = 0; i < 2048; i++) {
      while (window < payload.length)
        window += decode(credit, (await device.next(FrameType.credit)).payload).bytes;
      window -= payload.length;
      device.sendRaw(payload);
    }
    await client.until(
      () => (client.dataBytes - from === 2048 * payload.length ? true : undefined),
      "all data",
    );
    client.close(1);
    await device.next(FrameType.close);
    device.frames.length = 0;
    return performance.now() - startedMs;
  }

  it("says whether a device is unknown or offline", async () => {
    const client = await relay.join("client", "laptop");
    client.open(1, { peer: "nobody" });
    assert.equal(await client.nextReason(FrameType.close), CloseReason.unknownDevice);
    device.destroy();
    await relay.logged({ event: "left", name: "cam1" });
    client.open(2);
    assert.equal(await client.nextReason(FrameType.close), CloseReason.deviceOffline);
    client.open(3, { peer: "laptop" });
    assert.equal(await client.nextReason(FrameType.close), CloseReason.unknownDevice);
  });

  it("tells the other end when a connection is lost", async () => {
    const client = await relay.join("client", "laptop");
    await channel(client, 1);
    client.destroy();
    assert.equal(await device.nextReason(FrameType.close), CloseReason.peerLost);
    const other = await relay.join("client", "laptop");
    await channel(other, 1);
    device.destroy();
    assert.equal(await other.nextReason(FrameType.close), CloseReason.peerLost);
  });

  it("ignores frames that crossed a close, but not those of a stranger's channel", async () => {
    const client = await relay.join("client", "laptop");
    const id = await channel(client, 1);
    client.close(1);
    device.sendData(id, Buffer.alloc(100));
    device.grant(id, 100);
    device.close(id);
    await channel(client, 1);
    const other = await relay.join("client", "other");
    other.sendData(1, Buffer.alloc(1));
    assert.equal(await other.nextReason(FrameType.goAway), CloseReason.protocol);
    client.sendData(1, Buffer.from("whole"));
    assert.equal((await device.next(FrameType.data)).payload.toString(), "whole");
  });

  it("answers a close of an open channel, not a refusal, and ignores those of no channel", async () => {
    const client = await relay.join("client", "laptop");
    await channel(client, 1);
    client.close(1, CloseReason.timeout);
    assert.equal(await device.nextReason(FrameType.close), CloseReason.timeout);
    assert.equal(await client.nextReason(FrameType.close), CloseReason.done);
    client.close(1);
    client.close(77);
    client.grant(77, 1);
    client.open(2);
    device.close((await device.next(FrameType.open)).channel, CloseReason.locked);
    assert.equal(await client.nextReason(FrameType.close), CloseReason.locked);
    await channel(client, 3);
    assert.deepEqual([...client.frames, ...device.frames], []);
  });

  it("ends the link of a client that opens an open channel", async () => {
    const client = await relay.join("client", "laptop");
    await channel(client, 1);
    client.open(1);
    assert.equal(await client.nextReason(FrameType.goAway), CloseReason.protocol);
    assert.equal(await device.nextReason(FrameType.close), CloseReason.peerLost);
  });

  it("does not give a device the id of a channel that was just closed", async () => {
    const client = await relay.join("client", "laptop");
    const ids = new Set<number>();
    for (let i = 0; i < 50; i++) {
      ids.add(await channel(client, 1));
      client.close(1);
      await device.next(FrameType.close);
    }
    assert.equal(ids.size, 50);
  });

  it("answers busy above the device's channels, and above the client's", async () => {
    const board = await relay.connect(identityOf("device", "board"));
    await board.hello({ maxChannels: 2 });
    const client = await relay.join("client", "laptop");
    for (const id of [1, 2, 3]) client.open(id, { peer: "board" });
    assert.equal(await client.nextReason(FrameType.close), CloseReason.busy);
    const small = await relay.connect(identityOf("client", "small"));
    await small.hello({ maxChannels: 1 });
    for (const id of [1, 2]) small.open(id);
    assert.equal(await small.nextReason(FrameType.close), CloseReason.busy);
  });

  it("opens as many channels as allowed, with windows that shrink, and refuses the next", async () => {
    const client = await relay.join("client", "laptop");
    for (let id = 1; id <= MAX_CHANNELS + 1; id++) client.open(id, { creditBytes: MAX_WINDOW_BYTES });
    const { channel: refused } = await client.next(FrameType.close);
    assert.equal(refused, MAX_CHANNELS + 1);
    const opened = await device.until(() => {
      const opens = device.frames.filter(({ type }) => type === FrameType.open);
      return opens.length >= MAX_CHANNELS ? opens : undefined;
    }, "all opens");
    assert.equal(opened.length, MAX_CHANNELS);
    const windows = opened.map(({ payload }) => decode(open, payload).creditBytes);
    assert.equal(windows[0], MAX_WINDOW_BYTES);
    assert.equal(windows.at(-1), 65_536);
    assert.ok(windows.reduce((sum, bytes) => sum + bytes) < 96 * 1024 * 1024);
  });

  it("ends the link of an open flood", async () => {
    const client = await relay.join("client", "laptop");
    for (let i = 0; i < REQUEST_BURST * 2; i++) client.open(1 + (i % 60_000), { peer: "nobody" });
    assert.equal(await client.nextReason(FrameType.goAway), CloseReason.protocol);
  });

  it("closes nothing of others when a client floods opens at a device that does not read", async () => {
    device.socket.pause();
    const rude = await relay.join("client", "rude");
    for (let i = 0; i < 400; i++) {
      rude.open(i + 1);
      rude.close(i + 1);
    }
    const good = await relay.join("client", "good");
    good.open(1);
    device.socket.resume();
    await device.until(
      () => device.frames.find(({ type, payload }) => type === FrameType.open && payload.includes("good")),
      "the open of the good client",
    );
  });
});
