// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { connect } from "node:net";
import { FrameType } from "../firmware/protocol/frame";
import { CloseReason, goAway } from "../firmware/protocol/link-messages";
import { decode } from "../firmware/protocol/message";
import { DRAIN_MS } from "./limits";
import { runRelay } from "./main";
import { TestRelay } from "./test-relay";

describe("relay: the program", () => {
  let relay: TestRelay;
  beforeEach(async () => {
    relay = await TestRelay.start({ metrics: { host: "127.0.0.1", port: 0 } });
  });
  afterEach(async () => {
    await relay.stop();
  });

  async function get(path: string, init?: RequestInit): Promise<Response> {
    return fetch(`http://127.0.0.1:${String(relay.metricsPort)}${path}`, init);
  }

  it("reports health and metrics", async () => {
    const device = await relay.join("device", "cam1");
    const client = await relay.join("client", "laptop");
    client.open(1);
    const { channel } = await device.next(FrameType.open);
    device.accept(channel);
    await client.next(FrameType.accept);
    client.sendData(1, Buffer.alloc(94));
    device.sendData(channel, Buffer.alloc(44));
    await device.next(FrameType.data);
    await client.next(FrameType.data);
    await relay.connect(undefined).then(
      (endpoint) => endpoint.closed(),
      () => undefined,
    );
    await relay.logged({ event: "refused" });
    assert.equal(((await (await get("/healthz")).json()) as { status: string }).status, "ok");
    for (let round = 0; round < 2; round++) {
      const text = await (await get("/metrics")).text();
      for (const line of [
        'coffer_relay_connections{role="device"} 1',
        'coffer_relay_connections{role="client"} 1',
        "coffer_relay_channels 1",
        'coffer_relay_bytes_total{direction="to_device"} 100',
        'coffer_relay_bytes_total{direction="to_client"} 50',
        'coffer_relay_handshakes_total{kind="full"} 2',
        'coffer_relay_handshakes_total{kind="resumed"} 0',
        'coffer_relay_refused_total{reason="ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"} 1',
      ])
        assert.ok(text.includes(`${line}\n`), `${line} in\n${text}`);
      assert.match(text, /coffer_relay_event_loop_lag_seconds\{quantile="0.99"\} [\d.]+/);
      assert.match(text, /coffer_relay_memory_bytes\{kind="resident"\} \d+/);
    }
    assert.equal((await get("/")).status, 404);
    assert.equal((await get("/metrics", { method: "POST" })).status, 405);
  });

  it("logs who came, went and was refused, one JSON object a line, and nothing of what passed", async () => {
    const device = await relay.join("device", "cam1");
    const client = await relay.join("client", "laptop");
    client.open(1);
    device.accept((await device.next(FrameType.open)).channel);
    await client.next(FrameType.accept);
    client.sendData(1, Buffer.from("what nobody may read"));
    await device.next(FrameType.data);
    client.destroy();
    await relay.logged({ event: "channelClosed", reason: "peerLost", bytes: 26 });
    const left = await relay
      .logged({ event: "left", role: "client", name: "laptop", reason: "closed" })
      .catch(() => undefined);
    assert.ok(
      left ?? (await relay.logged({ event: "left", role: "client", name: "laptop", reason: "lost" })),
    );
    const text = JSON.stringify(relay.log);
    assert.equal(text.includes("nobody may read"), false);
    for (const line of relay.log) assert.match(String(line["time"]), /^\d{4}-\d\d-\d\dT/);
  });

  it("stops gracefully: tells everybody when to come back, refuses new channels, lets the open one finish", async () => {
    const device = await relay.join("device", "cam1");
    const idle = await relay.join("device", "idle");
    const client = await relay.join("client", "laptop");
    client.open(1);
    const { channel } = await device.next(FrameType.open);
    device.accept(channel);
    await client.next(FrameType.accept);
    relay.abort();
    for (const endpoint of [device, idle, client]) {
      const { reason, retryMs } = decode(goAway, (await endpoint.next(FrameType.goAway)).payload);
      assert.equal(reason, CloseReason.goingAway);
      assert.ok(retryMs >= 1000 && retryMs < 10_000);
    }
    await idle.closed();
    client.open(2);
    assert.equal(await client.nextReason(FrameType.close), CloseReason.goingAway);
    device.sendData(channel, Buffer.from("last words"));
    assert.equal((await client.next(FrameType.data)).payload.toString(), "last words");
    client.close(1);
    await Promise.all([client.closed(), device.closed(), relay.stopped()]);
    await relay.logged({ event: "stopped" });
  });

  it("stops all the same when a channel does not finish", async () => {
    const device = await relay.join("device", "cam1");
    const client = await relay.join("client", "laptop");
    client.open(1);
    await device.next(FrameType.open);
    client.socket.pause();
    const startedMs = performance.now();
    relay.abort();
    await relay.stopped();
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs >= DRAIN_MS - 100 && tookMs < DRAIN_MS * 2, `${String(tookMs)} ms`);
  });

  it("does not wait for strangers' handshakes when it stops", async () => {
    const stranger = connect(relay.port, "127.0.0.1");
    stranger.on("error", () => undefined);
    await new Promise((resolve) => stranger.once("connect", resolve));
    const endpoint = await relay.join("device", "cam1");
    const startedMs = performance.now();
    relay.abort();
    await Promise.all([relay.stopped(), endpoint.closed()]);
    assert.ok(performance.now() - startedMs < 4000);
  });

  it("does not start without a readable, fitting set of files, and names the file", async () => {
    const attempt = async (files: Partial<TestRelay["files"]>): Promise<void> =>
      runRelay({
        listen: { host: "127.0.0.1", port: 0 },
        name: "relay1",
        files: { ...relay.files, ...files },
        log: () => undefined,
        signal: AbortSignal.abort(),
      });
    await attempt({});
    await assert.rejects(attempt({ deviceCrl: "/nowhere/crl.pem" }), /\/nowhere\/crl\.pem: cannot be read/);
    await assert.rejects(
      attempt({ certificate: relay.files.deviceAuthority }),
      /not signed by the authority/,
    );
    await assert.rejects(attempt({ key: relay.files.certificate }), /not the key/);
    await assert.rejects(attempt({ deviceCrl: relay.files.certificate }), /not a list of revoked/);
  });

  it("does not start on a port in use", async () => {
    const { files, port } = relay;
    const options = { name: "relay1", files, log: () => undefined, signal: AbortSignal.abort() };
    await assert.rejects(runRelay({ ...options, listen: { host: "127.0.0.1", port } }), /EADDRINUSE/);
  });
});
