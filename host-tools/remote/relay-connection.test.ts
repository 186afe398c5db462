// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { type AddressInfo, type Server, createServer } from "node:net";
import { FrameType, encodeFrame } from "../../firmware/protocol/frame";
import * as messages from "../../firmware/protocol/link-messages";
import { encode } from "../../firmware/protocol/message";
import type { CertifiedKey } from "../certs/certificate";
import type { ExitStatusName } from "../exit-status";
import { Refusal } from "../refusal";
import { FrameReader } from "./frame-reader";
import { RelayConnection } from "./relay-connection";
import type { RelayConnectionOptions } from "./relay-connection";
import { TlsSessionCache } from "./relay-tls";
import { MemoryStore } from "./testing/memory-device";
import { foreignRelay, listRevoking, testCertificates, testLeaf } from "./testing/test-identities";
import { TestPeer, type TestPeerOptions } from "./testing/test-peer";

async function refusalOf(promise: Promise<unknown>): Promise<Refusal> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    assert.ok(error.hint);
    return error;
  }
  throw new assert.AssertionError({ message: "expected a refusal" });
}

describe("RelayConnection", () => {
  const peers: TestPeer[] = [];
  const links: RelayConnection[] = [];

  const start = async (options: TestPeerOptions = {}): Promise<TestPeer> => {
    const peer = await TestPeer.start(options);
    peers.push(peer);
    return peer;
  };

  const connect = async (
    peer: TestPeer,
    changes: Partial<RelayConnectionOptions> = {},
  ): Promise<RelayConnection> => {
    const { client: identity } = await testCertificates();
    const link = await RelayConnection.connect({
      relay: peer.address,
      identity,
      timeoutMs: 1500,
      ...changes,
    });
    links.push(link);
    return link;
  };

  afterEach(async () => {
    await Promise.all(links.splice(0).map((link) => link.close()));
    await Promise.all(peers.splice(0).map((peer) => peer.stop()));
  });

  it("knows the relay's name, lists devices in pages, and closes twice", async () => {
    const stores = ["a", "b", "c", "d", "e"].map((name) => new MemoryStore(name));
    const link = await connect(await start({ stores }));
    assert.equal(link.relayName, "relay1");
    assert.deepEqual(
      (await link.listDevices()).map(({ name }) => name),
      ["a", "b", "c", "d", "e"],
    );
    await link.close();
    await link.close();
    assert.equal((await refusalOf(link.listDevices())).kind, "interrupted");
  });

  it("connects by name, and refuses a certificate that is not good for it", async () => {
    const peer = await start();
    await connect(peer, { relay: { host: "localhost", port: peer.address.port } });
    const relay = await testLeaf("relay", "relay1", { hosts: ["relay.example.org"] });
    const refusal = await refusalOf(connect(await start({ relay })));
    assert.equal(refusal.kind, "certificateForeign");
    assert.match(refusal.message, /not good for the host 127\.0\.0\.1/);
  });

  const hosts = ["127.0.0.1"];
  const impostors: [string, () => Promise<CertifiedKey>, ExitStatusName][] = [
    ["another authority's relay", () => foreignRelay(), "certificateForeign"],
    ["a keyholder posing as a relay", () => testLeaf("keyholder", "kh", { hosts }), "wrongRole"],
    ["a registry posing as a relay", () => testLeaf("registry", "reg", { hosts }), "wrongRole"],
    ["a device posing as a relay", () => testLeaf("device", "cam1", { hosts }), "certificateForeign"],
    [
      "an expired relay",
      () => testLeaf("relay", "relay1", { hosts, now: new Date(Date.now() - 9e8), days: 1 }),
      "certificateExpired",
    ],
    [
      "a relay of the future",
      () => testLeaf("relay", "relay1", { hosts, now: new Date(Date.now() + 9e8) }),
      "certificateExpired",
    ],
  ];
  for (const [what, make, kind] of impostors) {
    it(`refuses ${what}, and tells it nothing`, async () => {
      const peer = await start({ relay: await make() });
      let frames = 0;
      peer.tamper = (frame) => {
        frames++;
        return [frame];
      };
      assert.equal((await refusalOf(connect(peer))).kind, kind);
      assert.equal(frames, 0);
    });
  }

  it("refuses a relay whose certificate was revoked, also when a session could be resumed", async () => {
    const { client, relay } = await testCertificates();
    const peer = await start();
    const sessions = new TlsSessionCache();
    const good = { ...client, crl: await listRevoking(undefined) };
    for (let i = 0; i < 3; i++) {
      const link = await connect(peer, { sessions, identity: good });
      await link.listDevices();
      assert.equal(link.relayName, "relay1");
      await link.close();
    }
    assert.equal(peer.resumedHandshakes, 2);
    const crl = await listRevoking(relay.certificate);
    const refusal = await refusalOf(connect(peer, { sessions, identity: { ...client, crl } }));
    assert.equal(refusal.kind, "certificateRevoked");
  });

  it("does not show a relay an identity that cannot be right", async () => {
    const peer = await start();
    const { client, deviceAuthority } = await testCertificates();
    const identityOf = (leaf: CertifiedKey): typeof client => ({
      ...client,
      key: leaf.key,
      chain: leaf.certificate + deviceAuthority.certificate,
    });
    const expired = await testLeaf("client", "old", { now: new Date(Date.now() - 9e8), days: 1 });
    assert.equal(
      (await refusalOf(connect(peer, { identity: identityOf(await testLeaf("device", "cam1")) }))).kind,
      "wrongRole",
    );
    assert.equal(
      (await refusalOf(connect(peer, { identity: identityOf(expired) }))).kind,
      "certificateExpired",
    );
    assert.equal(
      (await refusalOf(connect(peer, { identity: { ...client, chain: "nothing" } }))).kind,
      "damagedState",
    );
    assert.equal(
      (await refusalOf(connect(peer, { identity: { ...client, key: "nothing" } }))).kind,
      "damagedState",
    );
    assert.equal(peer.links.size, 0);
  });

  it("says that the relay hangs up on a certificate of another authority", async () => {
    const peer = await start();
    const { client } = await testCertificates();
    const { makeAuthority, makeLeaf } = await import("../certs/certificate");
    const other = await makeAuthority("device", new Date());
    const foreign = await makeLeaf(other, { role: "client", name: "laptop", hosts: [], days: 3 }, new Date());
    const identity = { ...client, key: foreign.key, chain: foreign.certificate + other.certificate };
    assert.equal((await refusalOf(connect(peer, { identity }))).kind, "certificateForeign");
  });

  describe("without a relay", () => {
    let server: Server | undefined;

    const listen = async (onConnection: Parameters<typeof createServer>[1]): Promise<number> => {
      const listening = createServer(onConnection);
      server = listening;
      await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
      return (listening.address() as AddressInfo).port;
    };

    const connectTo = async (
      port: number,
      changes: Partial<RelayConnectionOptions> = {},
    ): Promise<Refusal> => {
      const { client: identity } = await testCertificates();
      const relay = { host: "127.0.0.1", port };
      return refusalOf(RelayConnection.connect({ relay, identity, timeoutMs: 300, ...changes }));
    };

    afterEach(() => {
      server?.close();
      server = undefined;
    });

    it("says what is wrong at the other end", async () => {
      const port = await listen((socket) => socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"));
      assert.match((await connectTo(port)).message, /does not speak TLS/);
      server?.close();
      const silent = await listen((socket) => socket.on("error", () => undefined).resume());
      assert.match((await connectTo(silent)).message, /does not answer/);
      server?.close();
      const gone = await listen(() => undefined);
      await new Promise((resolve) => server?.close(resolve));
      assert.match((await connectTo(gone)).message, /nothing listens there/);
      const nowhere = await connectTo(1, {
        relay: { host: "no-such-host.invalid", port: 1 },
        timeoutMs: 10_000,
      });
      assert.equal(nowhere.kind, "relayUnreachable");
    });

    it("stops connecting when it is told to", async () => {
      const port = await listen((socket) => socket.on("error", () => undefined).resume());
      const abort = new AbortController();
      const connecting = connectTo(port, { signal: abort.signal, timeoutMs: 10_000 });
      abort.abort();
      assert.equal((await connecting).kind, "interrupted");
      assert.equal((await connectTo(port, { signal: abort.signal })).kind, "interrupted");
    });
  });

  it("answers pings, sends its own, and notices a link that has died", async () => {
    const peer = await start();
    const seen: number[] = [];
    peer.tamper = (frame, direction) => {
      if (direction === "toDevice") seen.push(frame.type);
      return [frame];
    };
    const link = await connect(peer, { heartbeat: { maxMs: 100 } });
    const [theirs] = peer.links;
    theirs?.send(FrameType.ping, 0, messages.heartbeat, { token: Buffer.from("12345678") });
    await new Promise((resolve) => setTimeout(resolve, 250));
    assert.ok(seen.includes(FrameType.pong));
    assert.ok(seen.includes(FrameType.ping));
    assert.ok(link.isOpen);
    peer.isMute = true;
    const why = await new Promise<Refusal>((resolve) => {
      link.onClosed = resolve;
    });
    assert.match(why.message, /fallen silent/);
  });

  it("refuses what no honest relay sends", async () => {
    const welcome = { version: 1, maxFrameBytes: 16378, heartbeatSeconds: 20, unixMs: 0, relay: "relay1" };
    const wrong: [string, Uint8Array, ExitStatusName][] = [
      [
        "another name than the certificate's",
        encode(messages.welcome, { ...welcome, relay: "other" }),
        "protocolViolation",
      ],
      ["another version", encode(messages.welcome, { ...welcome, version: 2 }), "protocolVersion"],
      ["frames too small", encode(messages.welcome, { ...welcome, maxFrameBytes: 100 }), "protocolViolation"],
    ];
    for (const [what, payload, kind] of wrong) {
      const peer = await start();
      peer.tamper = (frame) => [
        frame.type === FrameType.welcome ? { ...frame, payload: Buffer.from(payload) } : frame,
      ];
      assert.equal((await refusalOf(connect(peer))).kind, kind, what);
    }
  });
});

describe("FrameReader", () => {
  interface Seen {
    type: number;
    channel: number;
    payload: string;
  }

  function read(bytes: Uint8Array, step: number): Seen[] {
    const seen: Seen[] = [];
    let data = Buffer.alloc(0);
    const reader = new FrameReader({
      maxPayloadBytes: 16378,
      handler: {
        onFrame: (type, channel, payload) =>
          seen.push({ type, channel, payload: Buffer.from(payload).toString("hex") }),
        onDataHeader: () => {
          data = Buffer.alloc(0);
        },
        onData: (channel, piece, at, payloadBytes) => {
          assert.equal(at, data.length);
          data = Buffer.concat([data, piece]);
          if (data.length === payloadBytes)
            seen.push({ type: FrameType.data, channel, payload: data.toString("hex") });
        },
      },
    });
    for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
    return seen;
  }

  it("gives the same frames however the bytes are cut", () => {
    const payloads = [0, 1, 2, 300, 16378, 0, 5].map((size) => Buffer.alloc(size, size & 0xff));
    const frames = payloads.flatMap((payload, i) => [
      { type: FrameType.data, channel: i, payload },
      { type: FrameType.devices, channel: 0, payload },
    ]);
    const stream = Buffer.concat(
      frames.map(({ type, channel, payload }) => encodeFrame(type, channel, payload)),
    );
    const expected = frames.map((frame) => ({ ...frame, payload: frame.payload.toString("hex") }));
    for (const step of [1, 2, 5, 6, 7, 100, 16_384, 65_536])
      assert.deepEqual(read(stream, step), expected, `in steps of ${String(step)}`);
  });
});
