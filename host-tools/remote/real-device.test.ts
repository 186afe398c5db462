// SPDX-License-Identifier: MIT
/** The client against the real relay and the real firmware core on Node. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { BOARD_LIMITS } from "../../firmware/core/device-config";
import { NO_ENTRY } from "../../firmware/protocol/log-chain";
import { makeRevocationList, revoke } from "../certs/revocation-list";
import { readCertificate } from "../certs/certificate-facts";
import { Refusal } from "../refusal";
import { logSkipCases } from "../repository/testing/log-skip-cases";
import { DeviceClient, LogConflict, LogTrimmed } from "./device-client";
import type { DeviceClientOptions } from "./device-client";
import { RelayConnection } from "./relay-connection";
import { RealDevice, RealRelay } from "./testing/real-devices";
import { testCertificates, testLeaf } from "./testing/test-identities";

function idOf(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

async function kindOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof Refusal ? error.kind : String(error);
  }
  return "success";
}

for (const [what, limits] of [
  ["a host node", undefined],
  ["a node with a board's limits", BOARD_LIMITS],
] as const) {
  describe(`client, real relay and ${what}`, function () {
    this.timeout(60_000);
    let relay: RealRelay;
    let device: RealDevice;
    const clients: DeviceClient[] = [];

    const open = async (changes: Partial<DeviceClientOptions> = {}): Promise<DeviceClient> => {
      const { client: identity } = await testCertificates();
      const client = await DeviceClient.open({
        relay: relay.address,
        identity,
        device: device.name,
        pairingSecret: device.secret,
        patienceMs: 20_000,
        ...changes,
      });
      clients.push(client);
      return client;
    };

    before(async () => {
      relay = await RealRelay.start();
      device = await new RealDevice("cam1", relay.address, limits).start();
    });

    afterEach(async () => {
      await Promise.all(clients.splice(0).map((client) => client.close()));
    });

    after(async () => {
      await device.stop();
      await relay.stop();
      device.remove();
      relay.remove();
    });

    it("goes on with a connection that is there, and makes one when that has ended", async () => {
      const { client: identity } = await testCertificates();
      for (const hasEnded of [false, true]) {
        const link = await RelayConnection.connect({ relay: relay.address, identity });
        await link.listDevices();
        if (hasEnded) await link.close();
        const client = await open({ link });
        assert.ok((await client.status()).capacityBytes > 0);
        assert.equal(client.stats.connections, hasEnded ? 2 : 1);
        await client.close();
        assert.equal(link.isOpen, false);
      }
    });

    it("stores, finds, lists, reads and deletes blobs of every size", async () => {
      const client = await open();
      const blobs = [0, 1, 511, 512, 513, 4096, 100_000, 3_000_001].map((size) => randomBytes(size));
      const results = await Promise.all(
        blobs.map((blob) => client.put(idOf(blob), [blob.subarray(0, 100), blob.subarray(100)])),
      );
      assert.ok(results.every(({ wasStored }) => !wasStored));
      assert.deepEqual(
        await client.has(blobs.map(idOf)),
        blobs.map(() => true),
      );
      assert.ok(
        (await client.put(idOf(blobs[6] ?? new Uint8Array()), [blobs[6] ?? new Uint8Array()])).wasStored,
      );
      for (const blob of blobs) {
        assert.deepEqual(Buffer.from(await client.get(idOf(blob), 0, blob.length + 1)), blob);
        const at = blob.length >> 1;
        assert.deepEqual(Buffer.from(await client.get(idOf(blob), at, 1000)), blob.subarray(at, at + 1000));
      }
      const listed: string[] = [];
      for await (const { id } of client.list()) listed.push(Buffer.from(id).toString("hex"));
      assert.deepEqual(listed, blobs.map((blob) => Buffer.from(idOf(blob)).toString("hex")).sort());
      assert.equal(await client.delete(blobs.map(idOf)), blobs.length);
      assert.equal(await kindOf(client.get(idOf(blobs[2] ?? new Uint8Array()), 0, 10)), "missingBlob");
      const status = await client.status();
      assert.equal(status.device, "cam1");
    });

    it("keeps logs", async () => {
      const client = await open();
      const log = randomBytes(32);
      let head: Uint8Array = NO_ENTRY;
      for (let i = 0; i < 60; i++) head = (await client.logAppend(log, head, randomBytes(50 * i))).head;
      const read = await (await open()).logRead(log, 0);
      assert.equal(read.count, 60);
      assert.deepEqual(Buffer.from(read.head), Buffer.from(head));
      assert.equal((await client.logRead(log, 60)).entries.length, 0);
      assert.equal((await (await open()).logRead(log, 55)).entries.length, 5);
      await assert.rejects(client.logAppend(log, NO_ENTRY, randomBytes(3)), LogConflict);
      assert.ok((await client.logList()).some(({ count }) => count === 60));
    });

    it("forgets the beginning of a log, and reads what is left of it", async () => {
      const client = await open();
      const log = randomBytes(32);
      const heads: Uint8Array[] = [];
      for (let i = 0; i < 60; i++)
        heads.push((await client.logAppend(log, heads.at(-1) ?? NO_ENTRY, randomBytes(3000))).head);
      const head = heads[59] ?? NO_ENTRY;
      assert.equal(await client.logTrim(log, 0, head), 0);
      const first = await client.logTrim(log, 50, head);
      assert.ok(first > 21 && first <= 50, String(first));
      assert.equal(await client.logTrim(log, 50, head), first);
      assert.equal(await (await open()).logTrim(log, 0, head), first);
      await assert.rejects(client.logTrim(log, 59, heads[58] ?? NO_ENTRY), LogConflict);
      assert.equal(await kindOf(client.logTrim(randomBytes(32), 0, head)), "missingBlob");

      await device.stop();
      await device.start();
      const fresh = await open();
      await assert.rejects(fresh.logRead(log, 0), LogTrimmed);
      await assert.rejects(fresh.logRead(log, first - 1, heads[first - 2]), LogTrimmed);
      for (const from of [first, 55]) {
        const { count, entries } = await fresh.logRead(log, from, heads[from - 1]);
        assert.deepEqual([count, entries.length], [60, 60 - from]);
      }
      assert.equal(await kindOf(fresh.logRead(log, first, heads[first])), "logTampered");
      assert.deepEqual(await fresh.logHead(log), { count: 60, head });
      assert.equal((await fresh.logAppend(log, head, randomBytes(10))).count, 61);
    });

    logSkipCases(open);

    it("lets a log begin anew behind what it has, and has that still after a start", async () => {
      const client = await open();
      const log = randomBytes(32);
      let head: Uint8Array = NO_ENTRY;
      for (let i = 0; i < 60; i++) head = (await client.logAppend(log, head, randomBytes(3000))).head;
      const previous = randomBytes(32);
      const entry = randomBytes(3000);
      head = (await client.logSkip(log, 1000, previous, entry)).head;
      const more = Array.from({ length: 30 }, () => randomBytes(3000));
      for (const one of more) head = (await client.logAppend(log, head, one)).head;

      await device.stop();
      await device.start();
      const fresh = await open();
      assert.deepEqual(await fresh.logHead(log), { count: 1031, head });
      await assert.rejects(fresh.logRead(log, 999, randomBytes(32)), LogTrimmed);
      const read = await fresh.logRead(log, 1000, previous);
      assert.deepEqual(
        read.entries.map((one) => Buffer.from(one)),
        [entry, ...more],
      );
      assert.equal(await kindOf(fresh.logRead(log, 1000, randomBytes(32))), "logTampered");
      const first = await fresh.logTrim(log, 1031, head);
      assert.ok(first > 1000 && first <= 1030, String(first));
    });

    it("serves several clients at once", async () => {
      const all = await Promise.all(Array.from({ length: 3 }, () => open({ channels: limits ? 1 : 2 })));
      await Promise.all(
        all.map(async (client) => {
          const blobs = Array.from({ length: 10 }, () => randomBytes(60_000));
          await Promise.all(blobs.map((blob) => client.put(idOf(blob), [blob])));
          for (const blob of blobs)
            assert.deepEqual(Buffer.from(await client.get(idOf(blob), 0, 60_000)), blob);
        }),
      );
    });

    it("goes on when the device and the relay stop and come back", async () => {
      const client = await open();
      const blobs = Array.from({ length: 12 }, () => randomBytes(2_000_000));
      const puts = Promise.all(blobs.map((blob) => client.put(idOf(blob), [blob])));
      await new Promise((resolve) => setTimeout(resolve, 60));
      await device.stop();
      await device.start();
      await new Promise((resolve) => setTimeout(resolve, 60));
      await relay.stop();
      await relay.listen();
      await puts;
      for (const blob of blobs)
        assert.deepEqual(Buffer.from(await client.get(idOf(blob), 0, 2_000_000)), blob);
    });

    it("opens and closes many channels on one link", async () => {
      const { client: identity } = await testCertificates();
      const link = await RelayConnection.connect({ relay: relay.address, identity });
      const user = { onData: () => undefined, onWritable: () => false, onClosed: () => undefined };
      // Fewer than the relay takes in one burst.
      for (let i = 0; i < 200; i++) {
        await assert.rejects(link.openChannel("nobody", user), Refusal);
        (await link.openChannel("cam1", user)).close(0);
      }
      assert.ok(link.isOpen);
      await link.close();
    });
  });
}

describe("client and real relay", function () {
  this.timeout(30_000);
  let relay: RealRelay;

  before(async () => {
    relay = await RealRelay.start();
  });

  after(async () => {
    await relay.stop();
    relay.remove();
  });

  it("lists the devices, page by page", async () => {
    const { client: identity } = await testCertificates();
    const devices = await Promise.all(
      ["cam1", "cam2"].map((name) => new RealDevice(name, relay.address).start()),
    );
    const link = await RelayConnection.connect({ relay: relay.address, identity });
    assert.deepEqual(
      (await link.listDevices()).map(({ name }) => name),
      ["cam1", "cam2"],
    );
    assert.equal(link.relayName, "relay1");
    await link.close();
    for (const device of devices) {
      await device.stop();
      device.remove();
    }
    const started = Date.now();
    const open = DeviceClient.open({
      relay: relay.address,
      identity,
      device: "cam1",
      pairingSecret: randomBytes(32),
      patienceMs: 300,
    });
    assert.equal(await kindOf(open), "deviceOffline");
    assert.ok(Date.now() - started >= 250);
  });

  it("names an unknown device, a wrong secret, and a refused certificate", async () => {
    const certificates = await testCertificates();
    const { client: identity, deviceAuthority } = certificates;
    const options = {
      relay: relay.address,
      device: "nobody",
      pairingSecret: randomBytes(32),
      patienceMs: 300,
    };
    assert.equal(await kindOf(DeviceClient.open({ ...options, identity })), "unknownDevice");
    const device = await new RealDevice("cam3", relay.address).start();
    assert.equal(await kindOf(DeviceClient.open({ ...options, device: "cam3", identity })), "pairingFailed");
    await device.stop();
    device.remove();

    const guest = await testLeaf("client", "guest");
    const guestIdentity = {
      key: guest.key,
      chain: guest.certificate + deviceAuthority.certificate,
      ca: identity.ca,
    };
    const link = await RelayConnection.connect({ relay: relay.address, identity: guestIdentity });
    const ended = new Promise<Refusal>((resolve) => {
      link.onClosed = resolve;
    });
    const list = await makeRevocationList(deviceAuthority, new Date());
    relay.replace(
      "deviceCrl",
      await revoke(list, deviceAuthority, [readCertificate(guest.certificate).serial], new Date()),
    );
    assert.equal((await ended).kind, "certificateRevoked");
    const again = await kindOf(RelayConnection.connect({ relay: relay.address, identity: guestIdentity }));
    assert.ok(["certificateRevoked", "certificateForeign"].includes(again), again);
  });
});
