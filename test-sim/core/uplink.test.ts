// SPDX-License-Identifier: MIT
/** The link to the relay: greeting, heartbeats, farewell, and how long a device waits before it tries again. */
import assert from "node:assert/strict";
import type { ConnectionErrorCode } from "../../firmware/core/io";
import type { Discovery, FoundRelay } from "../../firmware/core/io";
import { FrameType } from "../../firmware/protocol/frame";
import * as link from "../../firmware/protocol/link-messages";
import { decode } from "../../firmware/protocol/message";
import { DeviceBench } from "./device-bench";

/** Entropy whose every 32-bit word is this fraction of all. */
function fractionOf(value: number): { fill(into: Uint8Array): void } {
  return {
    fill: (into) => {
      const word = Math.min(2 ** 32 - 1, Math.floor(value * 2 ** 32));
      for (let i = 0; i < into.length; i++) into[i] = (word >>> (8 * (3 - (i % 4)))) & 255;
    },
  };
}

function delays(bench: DeviceBench): number[] {
  return bench.connections.slice(1).map(({ atMs }, i) => atMs - (bench.connections[i]?.atMs ?? 0));
}

describe("uplink", () => {
  it("speaks first, and says what it takes", () => {
    const bench = new DeviceBench();
    assert.deepEqual(
      { ...bench.relay.options, onReadable: 0, onWritable: 0, onError: 0 },
      {
        host: "relay.example.org",
        port: 7443,
        onReadable: 0,
        onWritable: 0,
        onError: 0,
      },
    );
    const hello = bench.welcome();
    assert.deepEqual(hello, {
      minVersion: 1,
      maxVersion: 1,
      maxFrameBytes: 4096,
      maxChannels: 4,
      software: "coffer 0.1.0",
    });
    assert.deepEqual(bench.states, ["online"]);
  });

  it("waits longer after each failure, up to a minute, over the whole range", () => {
    for (const [fraction, expected] of [
      [0.999999999, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]],
      [0.5, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]],
      [0, [0, 0, 0]],
    ] as const) {
      const bench = new DeviceBench({ entropy: fractionOf(fraction) });
      for (const wait of expected) {
        bench.relay.fail("unreachable");
        bench.turns.advance(wait);
      }
      assert.deepEqual(delays(bench), expected);
    }
  });

  it("starts from the shortest wait again after a link that held for half a minute", () => {
    const bench = new DeviceBench({ entropy: fractionOf(0.999999999) });
    for (const wait of [1000, 2000, 4000]) {
      bench.relay.fail("unreachable");
      bench.turns.advance(wait);
    }
    bench.welcome({ heartbeatSeconds: 600 });
    bench.turns.advance(29_999);
    bench.relay.fail("lost");
    bench.turns.advance(7999);
    assert.equal(bench.connections.length, 4);
    bench.turns.advance(1);
    assert.equal(bench.connections.length, 5);
    bench.welcome({ heartbeatSeconds: 600 });
    bench.turns.advance(30_000);
    bench.relay.fail("lost");
    bench.turns.advance(1000);
    assert.equal(bench.connections.length, 6);
  });

  it("gives up on a relay that does not greet", () => {
    const bench = new DeviceBench({ entropy: fractionOf(0) });
    bench.relay.connect();
    bench.turns.advance(29_999);
    assert.equal(bench.connections.length, 1);
    bench.turns.advance(1);
    assert.equal(bench.connections.length, 2);
    assert.ok(bench.connections[0]?.end.isClosed);
  });

  it("asks a silent relay, and leaves it after two and a half heartbeats", () => {
    const bench = new DeviceBench({ entropy: fractionOf(0) });
    bench.welcome({ heartbeatSeconds: 20 });
    bench.turns.advance(19_999);
    assert.equal(bench.relay.take(FrameType.ping), undefined);
    bench.turns.advance(1);
    const ping = bench.relay.take(FrameType.ping);
    assert.ok(ping);
    bench.relay.send(FrameType.pong, 0, link.heartbeat, decode(link.heartbeat, ping.payload));
    bench.turns.advance(49_999);
    assert.equal(bench.connections.length, 1);
    bench.turns.advance(1);
    assert.equal(bench.connections.length, 2);
    assert.deepEqual(bench.states, ["online", "offline"]);
  });

  it("answers pings with their token", () => {
    const bench = new DeviceBench();
    bench.welcome();
    const token = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    bench.relay.send(FrameType.ping, 0, link.heartbeat, { token });
    const pong = bench.relay.take(FrameType.pong);
    assert.deepEqual(pong && decode(link.heartbeat, pong.payload), { token });
  });

  it("stays away as long as the relay asks when it says goodbye", () => {
    const bench = new DeviceBench({ entropy: fractionOf(0.5) });
    bench.welcome();
    bench.relay.send(FrameType.goAway, 0, link.goAway, { reason: 5, retryMs: 7000 });
    assert.ok(bench.relay.isClosed);
    bench.turns.advance(7499);
    assert.equal(bench.connections.length, 1);
    bench.turns.advance(1);
    assert.equal(bench.connections.length, 2);
  });

  it("leaves a relay that breaks the protocol, whatever it sends", () => {
    const frames: [string, number[]][] = [
      ["a data frame before the welcome", [19, 0, 0, 1, 0, 1, 0]],
      ["a frame above the limit", [2, 0, 0, 0, 0xff, 0xff]],
      ["a reserved byte", [2, 1, 0, 0, 0, 0]],
      ["a welcome cut short", [2, 0, 0, 0, 0, 1, 1]],
      ["a welcome of another version", [2, 0, 0, 0, 0, 15, 9, 16, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ];
    for (const [what, bytes] of frames) {
      const bench = new DeviceBench({ entropy: fractionOf(0) });
      bench.relay.connect();
      const first = bench.relay;
      first.deliver(Uint8Array.from(bytes));
      assert.ok(first.isClosed, what);
      bench.turns.advance(1);
      assert.equal(bench.connections.length, 2, what);
    }
    for (const bytes of [
      [77, 0, 0, 0, 0, 0],
      [19, 0, 0, 0, 0, 0],
      [16, 0, 0, 1, 0, 1, 9],
    ]) {
      const bench = new DeviceBench({ entropy: fractionOf(0) });
      bench.welcome();
      const first = bench.relay;
      first.deliver(Uint8Array.from(bytes));
      assert.ok(first.isClosed, String(bytes));
    }
  });

  it("takes frames in any pieces", () => {
    const bench = new DeviceBench();
    bench.welcome();
    const ping = [3, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    for (const byte of [...ping, ...ping]) bench.relay.deliver(Uint8Array.of(byte));
    assert.ok(bench.relay.take(FrameType.pong));
    assert.ok(bench.relay.take(FrameType.pong));
  });

  it("leaves a relay that takes nothing and asks for ever more", () => {
    const bench = new DeviceBench({ entropy: fractionOf(0.5) });
    bench.welcome();
    const { relay } = bench;
    relay.roomBytes = 0;
    for (let i = 0; i < 200 && !relay.isClosed; i++) {
      relay.send(FrameType.ping, 0, link.heartbeat, { token: new Uint8Array(8) });
    }
    assert.ok(relay.isClosed);
  });

  it("tries what discovery found, one after the other, and looks again after a wait", () => {
    const searches: { onFound(relay: FoundRelay): void; onDone(): void }[] = [];
    const discovery: Discovery = {
      find: (options) => {
        searches.push(options);
        return { close: () => undefined };
      },
    };
    const bench = new DeviceBench({ relay: null, discovery, entropy: fractionOf(0.5) });
    assert.equal(bench.connections.length, 0);
    searches[0]?.onFound({ host: "10.0.0.1", port: 1, name: "rogue" });
    searches[0]?.onFound({ host: "10.0.0.2", port: 2, name: "home" });
    searches[0]?.onDone();
    assert.deepEqual([bench.relay.options.host, bench.relay.options.relayName], ["10.0.0.1", "rogue"]);
    bench.relay.fail("certificate");
    assert.deepEqual([bench.relay.options.host, bench.relay.options.relayName], ["10.0.0.2", "home"]);
    bench.welcome();
    assert.deepEqual(bench.states, ["online"]);
    bench.relay.fail("lost");
    assert.equal(searches.length, 1);
    bench.turns.advance(500);
    assert.equal(searches.length, 2);
    searches[1]?.onDone();
    bench.turns.advance(1000);
    assert.equal(searches.length, 3);
  });

  it("says in its log that the clock is not set", () => {
    const bench = new DeviceBench({ isClockSet: false });
    assert.ok(bench.lines.some((line) => line.includes("clock is not set")));
  });

  it("says once what can be done about a connection that does not come about, and counts the failures", () => {
    const bench = new DeviceBench();
    const fail = (code: ConnectionErrorCode): void => {
      bench.relay.fail(code);
      while (bench.relay.isClosed) bench.turns.advance(1000);
    };
    const advice = (): string[] =>
      bench.lines.filter((line) =>
        /not of the authority|refuses this device|is the relay running/.test(line),
      );
    for (let i = 0; i < 5; i++) fail("certificate");
    assert.equal(advice().length, 1);
    assert.match(
      advice()[0] ?? "",
      /authority that this device was built for, or its certificate is not valid/,
    );
    for (let i = 0; i < 5; i++) fail("rejected");
    assert.match(advice()[1] ?? "", /its certificate may be expired, revoked/);
    for (let i = 0; i < 5; i++) fail("unreachable");
    assert.match(advice()[2] ?? "", /is the relay running/);
    bench.welcome();
    bench.relay.fail("lost");
    while (bench.relay.isClosed) bench.turns.advance(1000);
    fail("unreachable");
    assert.equal(advice().length, 4);
  });

  it("blames the clock alone for certificates while it is not set", () => {
    const bench = new DeviceBench({ isClockSet: false });
    for (let i = 0; i < 3; i++) {
      bench.relay.fail("certificate");
      while (bench.relay.isClosed) bench.turns.advance(1000);
    }
    assert.equal(bench.lines.filter((line) => line.includes("the clock is not set")).length, 1);
    assert.ok(!bench.lines.some((line) => line.includes("not of the authority")));
    bench.turns.isClockSet = true;
    bench.relay.fail("certificate");
    while (bench.relay.isClosed) bench.turns.advance(1000);
    bench.relay.fail("certificate");
    assert.ok(bench.lines.some((line) => line.includes("not of the authority")));
  });

  it("is quiet after close", () => {
    const bench = new DeviceBench();
    bench.welcome();
    bench.open(1);
    bench.device.close();
    bench.device.close();
    assert.ok(bench.relay.isClosed);
    bench.turns.advance(600_000);
    assert.equal(bench.connections.length, 1);
    assert.equal(bench.turns.nextInMs, undefined);
  });
});
