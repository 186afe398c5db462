// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { FrameType, encodeFrame } from "../firmware/protocol/frame";
import { CloseReason, devices, goAway, listDevices, open } from "../firmware/protocol/link-messages";
import { decode, encode } from "../firmware/protocol/message";
import { MAX_CONTROL_BYTES, OPEN_TIMEOUT_MS, REQUEST_BURST } from "./limits";
import { Bench, HELLO, PING, settled, typesIn } from "./test-bench";
import { TestRelay, identityOf } from "./test-relay";

describe("relay: a link's life", () => {
  it("ends without a hello after 10 seconds, whatever else is sent slowly", () => {
    const bench = new Bench();
    const socket = bench.connect("device", "cam1");
    for (let second = 0; second < 10; second++) {
      socket.arrive(HELLO.subarray(second, second + 1));
      bench.tick(1);
    }
    assert.deepEqual(bench.ends, []);
    bench.tick(1);
    assert.deepEqual(bench.ends, ["helloTimeout"]);
  });

  it("pings after a heartbeat of silence and ends after 2.5", async () => {
    const bench = new Bench();
    const socket = bench.connect("device", "cam1");
    socket.arrive(HELLO);
    for (let i = 0; i < 3; i++) bench.tick(10);
    await settled();
    assert.deepEqual(typesIn(socket), [FrameType.welcome, FrameType.ping]);
    for (let i = 0; i < 19; i++) bench.tick(1);
    assert.deepEqual(bench.ends, []);
    bench.tick(1);
    assert.deepEqual(bench.ends, ["heartbeatTimeout"]);
  });

  it("lives on while anything is heard", () => {
    const bench = new Bench();
    const socket = bench.connect("device", "cam1");
    socket.arrive(HELLO);
    for (let i = 0; i < 20; i++) {
      bench.tick(40);
      socket.arrive(PING);
    }
    assert.deepEqual(bench.ends, []);
  });

  it("closes a channel that the device does not answer", async () => {
    const bench = new Bench();
    const device = bench.connect("device", "cam1");
    device.arrive(HELLO);
    const client = bench.connect("client", "laptop");
    client.arrive(HELLO);
    const message = encode(open, { peer: "cam1", creditBytes: 4096, maxFrameBytes: 4096 });
    client.arrive(encodeFrame(FrameType.open, 1, message));
    bench.tick(OPEN_TIMEOUT_MS / 1000 + 1);
    assert.deepEqual(bench.reasons, [CloseReason.timeout]);
    await settled();
    assert.equal(typesIn(device).at(-1), FrameType.close);
    assert.equal(typesIn(client).at(-1), FrameType.close);
  });

  it("cuts off an endpoint that asks and does not read the answers", async () => {
    const bench = new Bench();
    for (let i = 0; i < 64; i++) bench.connect("device", `cam${String(i)}`).arrive(HELLO);
    const client = bench.connect("client", "laptop");
    client.isReading = false;
    client.arrive(HELLO);
    for (let i = 0; i < 300 && bench.ends.length === 0; i++) {
      client.arrive(encodeFrame(FrameType.listDevices, 0, encode(listDevices, { after: "" })));
      await settled();
      assert.ok(bench.pool.queuedBytes < MAX_CONTROL_BYTES * 1.2);
    }
    assert.deepEqual(bench.ends, ["notReading"]);
    assert.equal(bench.pool.queuedBytes, 0);
  });

  it("reads frames however they are cut", async () => {
    const stream = Buffer.concat([HELLO, ...Array.from({ length: 5 }, () => PING)]);
    for (let size = 1; size <= stream.length; size++) {
      const bench = new Bench();
      const socket = bench.connect("client", "laptop");
      for (let at = 0; at < stream.length; at += size) socket.arrive(stream.subarray(at, at + size));
      await settled();
      assert.deepEqual(typesIn(socket), [
        FrameType.welcome,
        ...Array.from({ length: 5 }, () => FrameType.pong),
      ]);
    }
  });

  it("survives any bytes: every link ends or goes on, none throws", async function () {
    this.timeout(60_000);
    const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    const random = randomFrom(seed);
    const types = [...Object.values(FrameType), 0, 99, 255];
    for (let step = 0; step < 3000; step++) {
      const bench = new Bench();
      try {
        const device = bench.connect("device", "cam1");
        device.arrive(HELLO);
        const client = bench.connect("client", "laptop");
        client.arrive(HELLO);
        const message = encode(open, { peer: "cam1", creditBytes: 4096, maxFrameBytes: 4096 });
        client.arrive(encodeFrame(FrameType.open, 1, message));
        for (let i = 0; i < 12; i++) {
          const payload = Uint8Array.from({ length: random(random(3) === 0 ? 300 : 14) }, () => random(256));
          const type = types[random(types.length)] ?? 0;
          const frame = Buffer.from(encodeFrame(type, random(3), payload));
          if (random(6) === 0) frame[random(frame.length)] = random(256);
          const cut = random(frame.length + 1);
          const socket = random(2) === 0 ? device : client;
          socket.arrive(frame.subarray(0, cut));
          socket.arrive(frame.subarray(cut));
        }
        bench.tick(60);
        await settled();
        assert.equal(bench.ends.includes("internalError"), false);
        assert.equal(bench.ends.length, 2);
        assert.equal(bench.pairing.links.size, 0);
        assert.equal(bench.pairing.pump.channelCount, 0);
      } catch (cause) {
        throw new Error(`FUZZ_SEED=${String(seed)} step ${String(step)}`, { cause });
      }
    }
  });
});

describe("relay: links over TLS", () => {
  let relay: TestRelay;
  before(async () => {
    relay = await TestRelay.start({ heartbeatSeconds: 1 });
  });
  after(async () => {
    await relay.stop();
  });
  beforeEach(() => {
    relay.log.length = 0;
  });

  it("welcomes with its name, version and heartbeat", async () => {
    const device = await relay.connect(identityOf("device", "cam1"));
    const welcome = await device.hello();
    assert.deepEqual([welcome.version, welcome.relay, welcome.heartbeatSeconds], [1, "relay1", 1]);
    assert.ok(Math.abs(welcome.unixMs - Date.now()) < 5000);
  });

  it("ends a half-open link: a peer that is there but hears and says nothing", async () => {
    const device = await relay.join("device", "halfopen");
    device.isPolite = false;
    await relay.logged({ event: "left", name: "halfopen", reason: "heartbeatTimeout" });
    await device.closed();
  });

  const violations: [string, Buffer, "device" | "client"][] = [
    ["an unknown frame type", frame(99, 0), "client"],
    ["an unknown frame type of a channel", frame(40, 5), "client"],
    ["a reserved byte that is set", Buffer.of(3, 1, 0, 0, 0, 0), "client"],
    ["a payload longer than any may be", Buffer.of(19, 0, 0, 1, 0xff, 0xff), "client"],
    ["a second hello", Buffer.from(HELLO), "client"],
    ["data on the connection itself", frame(FrameType.data, 0), "client"],
    ["a ping on a channel", frame(FrameType.ping, 4, Buffer.alloc(8)), "client"],
    ["data on a channel that never was", frame(FrameType.data, 9), "client"],
    ["a goAway", frame(FrameType.goAway, 0, Buffer.alloc(6)), "device"],
    [
      "an accept of a channel that never was",
      frame(FrameType.accept, 9, Buffer.from("000010001000", "hex")),
      "device",
    ],
    ["an accept from a client", frame(FrameType.accept, 9, Buffer.from("000010001000", "hex")), "client"],
    ["an open from a device", frame(FrameType.open, 9, encode(open, peer("cam1"))), "device"],
    ["a device that lists devices", frame(FrameType.listDevices, 0, Buffer.alloc(2)), "device"],
    ["a message with bytes left over", frame(FrameType.ping, 0, Buffer.alloc(9)), "client"],
    ["a message that ends early", frame(FrameType.ping, 0, Buffer.alloc(7)), "client"],
  ];
  for (const [what, bytes, role] of violations)
    it(`ends the link for ${what}`, async () => {
      const endpoint = await relay.join(role, "rude");
      endpoint.sendRaw(bytes);
      assert.equal(await endpoint.nextReason(FrameType.goAway), CloseReason.protocol);
      await endpoint.closed();
    });

  it("ends the link when hello is not the first frame, or has no version in common", async () => {
    const early = await relay.connect(identityOf("client", "laptop"));
    early.sendRaw(PING);
    assert.equal(await early.nextReason(FrameType.goAway), CloseReason.protocol);
    const newer = await relay.connect(identityOf("client", "laptop"));
    await assert.rejects(newer.hello({ minVersion: 2, maxVersion: 9 }));
    const tiny = await relay.connect(identityOf("client", "laptop"));
    await assert.rejects(tiny.hello({ maxFrameBytes: 100 }));
  });

  it("ends the link of a ping flood, and answers everybody else", async () => {
    const rude = await relay.join("client", "rude");
    const good = await relay.join("client", "good");
    rude.sendRaw(Buffer.concat(Array.from({ length: REQUEST_BURST * 3 }, () => PING)));
    assert.equal(await rude.nextReason(FrameType.goAway), CloseReason.protocol);
    good.sendRaw(PING);
    await good.next(FrameType.pong);
  });

  it("lists devices in pages that fit the client", async () => {
    const names = Array.from({ length: 70 }, (_, i) => `cam-${String(i + 100)}`);
    await Promise.all(
      names.map(async (name) => {
        const device = await relay.connect(identityOf("device", name));
        await device.hello({ software: "x".repeat(150) });
      }),
    );
    const client = await relay.connect(identityOf("client", "laptop"));
    await client.hello({ maxFrameBytes: 4096 });
    const found: string[] = [];
    for (let more = 1, after = "cam-"; more === 1; after = found.at(-1) ?? "") {
      client.send(FrameType.listDevices, 0, listDevices, { after });
      const { payload } = await client.next(FrameType.devices);
      assert.ok(payload.length <= 4096);
      const page = decode(devices, payload);
      found.push(...page.devices.map(({ name }) => name).filter((name) => name.startsWith("cam-")));
      more = page.more;
    }
    assert.deepEqual(found, names);
  });

  it("lets a device's newer connection replace the older one", async () => {
    const older = await relay.join("device", "twice");
    const client = await relay.join("client", "laptop");
    client.open(1, { peer: "twice" });
    older.accept((await older.next(FrameType.open)).channel);
    await client.next(FrameType.accept);
    const newer = await relay.join("device", "twice");
    const { reason, retryMs } = decode(goAway, (await older.next(FrameType.goAway)).payload);
    assert.equal(reason, CloseReason.replaced);
    assert.ok(retryMs > 10_000);
    assert.equal(await client.nextReason(FrameType.close), CloseReason.peerLost);
    await older.closed();
    client.open(2, { peer: "twice" });
    await newer.next(FrameType.open);
  });

  it("lets clients of one name connect several times", async () => {
    const device = await relay.join("device", "cam1");
    for (let i = 0; i < 3; i++) {
      const client = await relay.join("client", "laptop");
      client.open(1);
      device.accept((await device.next(FrameType.open)).channel);
      await client.next(FrameType.accept);
    }
  });
});

function frame(type: number, channel: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  return Buffer.from(encodeFrame(type, channel, payload));
}

function peer(name: string): { peer: string; creditBytes: number; maxFrameBytes: number } {
  return { peer: name, creditBytes: 4096, maxFrameBytes: 4096 };
}

/** Mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
