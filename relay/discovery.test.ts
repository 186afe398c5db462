// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { DataError } from "../firmware/protocol/data-error";
import {
  REQUEST_BYTES,
  decodeDiscoveryAnswer,
  decodeDiscoveryRequest,
  encodeDiscoveryAnswer,
  encodeDiscoveryRequest,
} from "../firmware/protocol/discovery";
import { type AnnounceOptions, type Announcement, announce } from "./announce";
import { type FoundRelay, discover } from "./discovery";
import { fingerprintOf, shortAuthenticationString } from "./fingerprint";
import { HostDiscovery } from "./host-discovery";
import { ANSWERS_BURST } from "./limits";
import { TestRelay } from "./test-relay";
import { freeUdpPort } from "./test-udp-port";

const nonce = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const fingerprint = createHash("sha256").update("certificate").digest();

describe("discovery: datagrams", () => {
  const request = encodeDiscoveryRequest(nonce);
  const answer = encodeDiscoveryAnswer({ nonce, port: 4433, name: "n".repeat(32), fingerprint });

  it("come back as what went in", () => {
    assert.deepEqual(decodeDiscoveryRequest(request), nonce);
    const decoded = decodeDiscoveryAnswer(answer);
    assert.deepEqual(decoded.nonce, nonce);
    assert.deepEqual([decoded.port, decoded.name], [4433, "n".repeat(32)]);
    assert.equal(Buffer.compare(decoded.fingerprint, fingerprint), 0);
  });

  it("have the bytes that are written down", () => {
    assert.equal(Buffer.from(request).toString("hex"), `636f666401010102030405060708${"00".repeat(82)}`);
    const short = encodeDiscoveryAnswer({
      nonce,
      port: 4433,
      name: "r1",
      fingerprint: new Uint8Array(32).fill(7),
    });
    assert.equal(
      Buffer.from(short).toString("hex"),
      `636f666401020102030405060708115100027231${"07".repeat(32)}`,
    );
  });

  it("cannot amplify: the longest answer is no longer than any request", () => {
    assert.equal(request.length, REQUEST_BYTES);
    assert.ok(answer.length <= REQUEST_BYTES);
  });

  it("are refused at every other length and with every changed bit that matters", () => {
    for (let length = 0; length < request.length; length++)
      assert.throws(() => decodeDiscoveryRequest(request.subarray(0, length)), DataError);
    for (let length = 0; length < answer.length; length++)
      assert.throws(() => decodeDiscoveryAnswer(answer.subarray(0, length)), DataError);
    assert.throws(() => decodeDiscoveryRequest(Buffer.concat([request, Buffer.alloc(1)])), DataError);
    assert.throws(
      () => decodeDiscoveryAnswer(answer.map((byte, i) => (i === 14 || i === 15 ? 0 : byte))),
      DataError,
    );
    for (let bit = 0; bit < 6 * 8; bit++)
      for (const [bytes, decode] of [
        [request, decodeDiscoveryRequest],
        [answer, decodeDiscoveryAnswer],
      ] as const)
        assert.throws(
          () => decode(bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))),
          DataError,
        );
  });

  it("decode to a value or a DataError, whatever the bytes", () => {
    const seed = process.env["FUZZ_SEED"] ?? randomBytes(8).toString("hex");
    let state = createHash("sha256").update(seed).digest();
    for (let step = 0; step < 20_000; step++) {
      if (step % 8 === 0) state = createHash("sha256").update(state).digest();
      const base = step % 2 === 0 ? request : answer;
      const bytes = base.slice(0, step % 5 === 0 ? (state[5] ?? 0) % (base.length + 1) : base.length);
      for (let i = 0; i < 3; i++) {
        const at = (state[(step + i) % 8] ?? 0) % Math.max(1, bytes.length);
        if (bytes.length > 0) bytes[at] = state[8 + ((step + i) % 24)] ?? 0;
      }
      for (const decode of [decodeDiscoveryRequest, decodeDiscoveryAnswer])
        try {
          decode(bytes);
        } catch (cause) {
          if (!(cause instanceof DataError))
            throw new Error(`FUZZ_SEED=${seed} step ${String(step)}`, { cause });
        }
    }
  });
});

describe("discovery: fingerprints", () => {
  it("shorten to 80 bits of base32 in four groups", () => {
    assert.equal(shortAuthenticationString(new Uint8Array(32)), "aaaa-aaaa-aaaa-aaaa");
    assert.equal(shortAuthenticationString(new Uint8Array(32).fill(255)), "7777-7777-7777-7777");
    // RFC 4648: base32("foobarfoob") = MZXW6YTBOJTG633C
    assert.equal(shortAuthenticationString(Buffer.from("foobarfoobar")), "mzxw-6ytb-ojtg-633c");
  });
  it("are the SHA-256 of the certificate", () => {
    assert.equal(Buffer.compare(fingerprintOf(Buffer.from("certificate")), fingerprint), 0);
  });
});

describe("discovery: over loopback", () => {
  const targets = ["127.255.255.255"];
  const open: Announcement[] = [];
  let discoveryPort = 0;
  beforeEach(async () => {
    discoveryPort = await freeUdpPort();
  });
  afterEach(async () => {
    for (const announcement of open.splice(0)) await announcement.close();
  });

  function announceRelay(name: string, changes: Partial<AnnounceOptions> = {}): void {
    const options = { name, port: 4433, fingerprint: () => fingerprint, isLocal: true, discoveryPort };
    open.push(announce({ ...options, onError: (error) => assert.fail(error), ...changes }));
  }

  it("finds a relay by broadcast and says what its certificate looks like", async () => {
    announceRelay("relay1");
    const early: FoundRelay[] = [];
    const options = { timeoutMs: 400, targets, discoveryPort, mdns: false };
    const found = await discover({ ...options, onFound: (relay) => early.push(relay) });
    assert.deepEqual(found, early);
    assert.deepEqual(found, [
      {
        host: "127.0.0.1",
        port: 4433,
        name: "relay1",
        fingerprint: fingerprint.toString("hex"),
        sas: shortAuthenticationString(fingerprint),
        by: "broadcast",
      },
    ]);
  });

  it("finds several relays on one machine, each once", async () => {
    for (const name of ["one", "two", "three"])
      announceRelay(name, { port: 1000 + name.length * 100 + name.charCodeAt(0) });
    const found = await discover({ timeoutMs: 600, targets, discoveryPort, mdns: false });
    assert.deepEqual(found.map(({ name }) => name).sort(), ["one", "three", "two"]);
  });

  it("finds a whole relay with its certificate's fingerprint", async () => {
    const relay = await TestRelay.start({ discovery: true, discoveryPort });
    const [found] = await discover({ timeoutMs: 400, targets, discoveryPort, mdns: false });
    const endpoint = await relay.connect(undefined).catch(() => undefined);
    const der = endpoint?.socket.getPeerX509Certificate()?.raw;
    assert.equal(found?.port, relay.port);
    assert.equal(found.fingerprint, der && Buffer.from(fingerprintOf(der)).toString("hex"));
    await relay.stop();
  });

  it("finds nothing when nobody answers, and can be ended early", async () => {
    const abort = new AbortController();
    const startedMs = performance.now();
    setTimeout(() => {
      abort.abort();
    }, 50);
    const options = { timeoutMs: 5000, targets, discoveryPort, mdns: false, signal: abort.signal };
    assert.deepEqual(await discover(options), []);
    assert.ok(performance.now() - startedMs < 3000);
  });

  it("ignores answers to somebody else's question and datagrams that are none", async () => {
    const liar = createSocket({ type: "udp4", reuseAddr: true });
    liar.on("message", (_datagram, from) => {
      liar.send(
        encodeDiscoveryAnswer({ nonce, port: 1, name: "liar", fingerprint }),
        from.port,
        from.address,
      );
      liar.send(randomBytes(40), from.port, from.address);
    });
    await new Promise<void>((resolve) => liar.bind(discoveryPort, resolve));
    assert.deepEqual(await discover({ timeoutMs: 300, targets, discoveryPort, mdns: false }), []);
    liar.close();
  });

  it("answers no more than its rate, and no garbage", async () => {
    announceRelay("relay1");
    const asker = createSocket("udp4");
    let answers = 0;
    asker.on("message", () => answers++);
    await new Promise<void>((resolve) => asker.bind(0, resolve));
    for (let i = 0; i < ANSWERS_BURST * 5; i++) {
      const datagram = i % 2 === 0 ? encodeDiscoveryRequest(nonce) : randomBytes(REQUEST_BYTES);
      await new Promise((resolve) => {
        asker.send(datagram, discoveryPort, "127.0.0.1", resolve);
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    asker.close();
    assert.ok(answers >= ANSWERS_BURST / 2 && answers <= ANSWERS_BURST + 20, String(answers));
  });

  it("serves the firmware's port: each place once, then done, and nothing after close", async () => {
    announceRelay("relay1");
    const port = new HostDiscovery({ targets, discoveryPort, mdns: false });
    const found: unknown[] = [];
    await new Promise<void>((resolve) => {
      port.find({ timeoutMs: 300, onFound: (relay) => found.push(relay), onDone: resolve });
    });
    assert.deepEqual(found, [{ host: "127.0.0.1", port: 4433, name: "relay1" }]);
    const search = port.find({
      timeoutMs: 100,
      onFound: () => assert.fail("found after close"),
      onDone: () => assert.fail("done after close"),
    });
    search.close();
    search.close();
    await new Promise((resolve) => setTimeout(resolve, 250));
  });

  it("keeps the relay running when the port cannot be had", async () => {
    const holder = createSocket("udp4");
    await new Promise<void>((resolve) => holder.bind(discoveryPort, resolve));
    const relay = await TestRelay.start({ discovery: true, discoveryPort });
    await relay.logged({ event: "discoveryFailed" });
    await relay.join("device", "cam1");
    await relay.stop();
    holder.close();
  });
});
