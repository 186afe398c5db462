// SPDX-License-Identifier: MIT
/** The device's side of the end-to-end session against a client without the secret and a relay that meddles. */
import assert from "node:assert/strict";
import { nodeCrypto } from "../../firmware/platform/node/node-crypto";
import { CloseReason } from "../../firmware/protocol/link-messages";
import { pairingId } from "../../firmware/protocol/session";
import { FAILURE, FailureCode, verbs } from "../../firmware/protocol/verbs";
import type { DeviceStatus } from "../../firmware/protocol/verbs";
import { ClientBench } from "./client-bench";
import { DeviceBench, SECRET } from "./device-bench";
import type { DeviceBenchOptions } from "./device-bench";
import { randomBytes, sha256 } from "./store-bench";

function online(options: DeviceBenchOptions = {}): DeviceBench {
  const bench = new DeviceBench(options);
  bench.welcome();
  return bench;
}

describe("session", () => {
  it("opens when both know the secret, and answers", () => {
    const client = new ClientBench(online(), 1);
    assert.equal(client.handshake(), true);
    const status = client.request(verbs.status, 1, {}) as DeviceStatus;
    assert.equal(status.device, "cam1");
    assert.equal(status.bootCount, 1);
    assert.equal(status.channels, 1);
    assert.equal(status.card, 0);
  });

  it("opens with any of the device's pairings", () => {
    const secrets = [1, 2, 3].map((value) => new Uint8Array(32).fill(value));
    const bench = online({ secrets });
    secrets.forEach((secret, i) => {
      const client = new ClientBench(bench, 1 + i);
      assert.equal(client.handshake({ secret }), true);
      client.request(verbs.status, 1, {});
      assert.equal(client.closedReason, undefined);
    });
  });

  it("is closed for a client that names a pairing and does not know its secret", () => {
    const client = new ClientBench(online(), 1);
    const isGenuine = client.handshake({
      secret: new Uint8Array(32).fill(9),
      pairing: pairingId(nodeCrypto, SECRET),
    });
    assert.equal(isGenuine, false);
    assert.equal(client.closedReason, CloseReason.authentication);
  });

  it("takes the same steps for a pairing nobody has, and ends in the same way", () => {
    const client = new ClientBench(online(), 1);
    assert.equal(client.handshake({ secret: new Uint8Array(32).fill(9) }), false);
    assert.equal(client.closedReason, CloseReason.authentication);
  });

  it("proves nothing to a client that asked for another device", () => {
    const client = new ClientBench(online(), 1);
    assert.equal(client.handshake({ name: "cam2" }), false);
    assert.equal(client.closedReason, CloseReason.authentication);
  });

  it("does not take its own proof for the client's", () => {
    const client = new ClientBench(online(), 1);
    client.handshake({ finish: new Uint8Array(32) });
    assert.equal(client.closedReason, CloseReason.authentication);
  });

  for (const [what, payload] of [
    ["an empty payload", new Uint8Array(0)],
    ["a truncated init", Uint8Array.of(0, 1, 1, 1, 5)],
    ["an init with bytes behind it", new Uint8Array(2 + 42 + 1).fill(1).fill(0, 0, 1)],
    ["a finish before the init", new Uint8Array(34).fill(2).fill(0, 0, 1)],
    ["a control frame", new Uint8Array(40).fill(1)],
    ["bulk", new Uint8Array(40).fill(2)],
    ["an unknown kind", new Uint8Array(40).fill(77)],
  ] as const) {
    it(`is closed by ${what} before there is a session`, () => {
      const client = new ClientBench(online(), 1);
      client.sendPayload(payload);
      assert.equal(client.closedReason, CloseReason.authentication);
    });
  }

  it("is closed when the handshake takes too long, and its place is free", () => {
    const bench = online({ limits: { maxChannels: 1 } });
    const client = new ClientBench(bench, 1);
    assert.equal(bench.open(2).closed, CloseReason.busy);
    bench.turns.advance(19_999);
    client.collect();
    assert.equal(client.closedReason, undefined);
    bench.turns.advance(1);
    client.collect();
    assert.equal(client.closedReason, CloseReason.timeout);
    assert.equal(ClientBench.paired(bench, 2).closedReason, undefined);
  });

  it("is closed by a frame that comes twice", () => {
    const client = ClientBench.paired(online(), 1);
    const frame = client.seal(verbs.status, 1, {});
    client.sendPayload(frame);
    client.control(1);
    client.sendPayload(frame);
    assert.equal(client.closedReason, CloseReason.authentication);
  });

  it("is closed by a frame whose predecessor was dropped", () => {
    const client = ClientBench.paired(online(), 1);
    client.seal(verbs.status, 1, {});
    client.sendPayload(client.seal(verbs.status, 2, {}));
    assert.equal(client.closedReason, CloseReason.authentication);
  });

  it("is closed by frames in another order", () => {
    const client = ClientBench.paired(online(), 1);
    client.seal(verbs.status, 1, {});
    const second = client.seal(verbs.status, 2, {});
    client.sendPayload(second);
    assert.equal(client.closedReason, CloseReason.authentication);
  });

  it("is closed by any flipped bit of a control frame", () => {
    const bench = online({ limits: { maxChannels: 64 } });
    const length = ClientBench.paired(bench, 1).seal(verbs.status, 1, {}).length;
    for (let bit = 8; bit < length * 8; bit += 7) {
      const client = ClientBench.paired(bench, 2);
      const frame = client.seal(verbs.status, 1, {});
      frame[bit >> 3] = (frame[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      client.sendPayload(frame);
      assert.equal(client.closedReason, CloseReason.authentication, `bit ${String(bit)}`);
    }
  });

  it("is closed by a frame of another channel, and the other goes on", () => {
    const bench = online();
    const one = ClientBench.paired(bench, 1);
    const two = ClientBench.paired(bench, 2);
    two.sendPayload(one.seal(verbs.status, 1, {}));
    assert.equal(two.closedReason, CloseReason.authentication);
    // One's frame was lost to two, so one is dead too; a third is not.
    const three = ClientBench.paired(bench, 3);
    assert.ok("device" in three.request(verbs.status, 1, {}));
  });

  it("finds bulk that was changed on the way, and stores nothing", () => {
    const client = ClientBench.paired(online(), 1);
    const bytes = randomBytes(1, 20_000);
    client.ask(verbs.put, 1, { id: sha256(bytes), sizeBytes: bytes.length });
    assert.equal(client.ready(1), 0);
    const changed = bytes.slice();
    changed[777] = (changed[777] ?? 0) ^ 4;
    client.upload(1, changed, 0);
    const failed = client.control(1);
    assert.equal(failed?.type, FAILURE);
    assert.equal(((failed.body[0] ?? 0) << 8) | (failed.body[1] ?? 0), FailureCode.hashMismatch);
    assert.equal(client.closedReason, undefined);
  });

  it("answers a request that says nonsense with a failure", () => {
    const client = ClientBench.paired(online(), 1);
    const odd = { ...verbs.status, type: 99 };
    const unknown = client.request(odd, 1, {});
    assert.ok("code" in unknown && unknown.code === FailureCode.unknownVerb);
    const short = client.request(
      { ...verbs.get, request: verbs.status.request } as unknown as typeof verbs.status,
      2,
      {},
    );
    assert.ok("code" in short && short.code === FailureCode.badRequest);
    assert.ok("device" in client.request(verbs.status, 3, {}));
  });
});
