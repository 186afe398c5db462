// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { FrameType } from "../../firmware/protocol/frame";
import { CloseReason } from "../../firmware/protocol/link-messages";
import { NO_ENTRY } from "../../firmware/protocol/log-chain";
import { PayloadKind } from "../../firmware/protocol/session";
import { FailureCode } from "../../firmware/protocol/verbs";
import type { LogLine } from "../../firmware/protocol/verbs";
import type { ExitStatusName } from "../exit-status";
import { Refusal } from "../refusal";
import { logSkipCases } from "../repository/testing/log-skip-cases";
import { DeviceClient, LogConflict, LogTrimmed } from "./device-client";
import type { DeviceClientOptions } from "./device-client";
import { MemoryStore } from "./testing/memory-device";
import { testCertificates } from "./testing/test-identities";
import { TestPeer } from "./testing/test-peer";

function idOf(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

async function refuses(promise: Promise<unknown>, kind: ExitStatusName): Promise<Refusal> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error instanceof Error ? error.stack : error));
    assert.equal(error.kind, kind, error.message);
    assert.ok(error.hint, "a refusal names a remedy");
    return error;
  }
  throw new assert.AssertionError({ message: `expected a refusal ${kind}, and it succeeded` });
}

describe("DeviceClient", () => {
  let store: MemoryStore;
  let peer: TestPeer;
  const clients: DeviceClient[] = [];

  const open = async (changes: Partial<DeviceClientOptions> = {}): Promise<DeviceClient> => {
    const { client: identity } = await testCertificates();
    const client = await DeviceClient.open({
      relay: peer.address,
      identity,
      device: "cam1",
      pairingSecret: store.secret,
      patienceMs: 0,
      timeoutMs: 2000,
      stallMs: 2000,
      ...changes,
    });
    clients.push(client);
    return client;
  };

  beforeEach(async () => {
    store = new MemoryStore();
    peer = await TestPeer.start({ stores: [store] });
  });

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await peer.stop();
  });

  it("reads the device's own log page by page, and refuses one that is out of order", async () => {
    const client = await open();
    const line = (sequence: number, repeats = 0): LogLine => {
      return { sequence, repeats, uptimeMs: 5, unixMs: 0, level: 0, text: `line ${String(sequence)}` };
    };
    store.lines = [line(4, 2), line(5), line(6)];
    const page = await client.deviceLog(0);
    assert.deepEqual([page.more, page.lines], [true, [line(4, 2), line(5)]]);
    assert.deepEqual((await client.deviceLog(6)).lines, [line(6)]);
    for (const lines of [[line(5), line(5)], [line(6), line(5)], [line(3, 4)]]) {
      store.lines = lines;
      await refuses(client.deviceLog(0), "protocolViolation");
    }
  });

  it("tells the device's health, and nothing of a device that is too old to know it", async () => {
    const client = await open();
    store.health.exceptions = 3;
    assert.equal((await client.health())?.exceptions, 3);
    store.refuse = () => ({ code: FailureCode.unknownVerb, text: "" });
    assert.equal(await client.health(), undefined);
    await refuses(client.deviceLog(0), "protocolVersion");
    store.refuse = () => ({ code: FailureCode.safeMode, text: "" });
    await refuses(client.health(), "deviceInSafeMode");
  });

  it("tells what kept the device from its relay, and nothing of a device that is too old to know it", async () => {
    const client = await open();
    store.troubles = [{ code: 4, wasEarlier: true, count: 2, lastSeconds: 60 }];
    assert.deepEqual(await client.troubles(), store.troubles);
    store.refuse = () => ({ code: FailureCode.unknownVerb, text: "" });
    assert.equal(await client.troubles(), undefined);
  });

  it("tells the device's status", async () => {
    const status = await (await open()).status();
    assert.equal(status.device, "cam1");
    assert.equal(status.preferredBlobBytes, 4 << 20);
  });

  it("stores blobs of every size in parts, and reads them whole and in ranges", async () => {
    const client = await open();
    for (const size of [0, 1, 4083, 4084, 65_535, 65_536, 1_000_003]) {
      const blob = randomBytes(size);
      const cut = Math.floor(size / 3);
      const parts = [blob.subarray(0, cut), new Uint8Array(0), blob.subarray(cut)];
      const id = idOf(blob);
      let progress = 0;
      const first = await client.put(id, parts, { onSent: (bytes) => (progress += bytes) });
      assert.deepEqual(first, { wasStored: false, sentBytes: size, resumedAt: 0 });
      assert.equal(progress, size);
      const again = await client.put(id, parts);
      assert.deepEqual(again, { wasStored: true, sentBytes: 0, resumedAt: 0 });
      assert.deepEqual(Buffer.from(await client.get(id, 0, size + 10)), blob);
      assert.deepEqual(Buffer.from(await client.get(id, cut, 100)), blob.subarray(cut, cut + 100));
      assert.equal(await client.sizeOf(id), size);
      const pieces: Uint8Array[] = [];
      for await (const piece of client.getStream(id, { pieceBytes: 100_000 })) pieces.push(piece);
      assert.deepEqual(Buffer.concat(pieces), blob);
    }
  });

  it("runs more puts at once than the device takes, each blob once", async () => {
    const client = await open();
    const blobs = Array.from({ length: 40 }, (_, i) => randomBytes(20_000 + i));
    const results = await Promise.all([...blobs, ...blobs].map((blob) => client.put(idOf(blob), [blob])));
    assert.equal(results.filter(({ wasStored }) => wasStored).length, 40);
    assert.equal(store.blobs.size, 40);
    const has = await client.has([...blobs.map((blob) => idOf(blob)), randomBytes(32)]);
    assert.deepEqual(has, [...blobs.map(() => true), false]);
    const ids: string[] = [];
    for await (const { id } of client.list()) ids.push(hex(id));
    assert.deepEqual(ids, blobs.map((blob) => hex(idOf(blob))).sort());
  });

  it("asks for any number of ids in as few requests as there are hundreds", async () => {
    const client = await open();
    const ids = Array.from({ length: 2345 }, () => randomBytes(32));
    const before = client.stats.requests;
    assert.equal((await client.has(ids)).filter(Boolean).length, 0);
    assert.equal(client.stats.requests - before, 24);
    assert.deepEqual(await client.has([]), []);
    assert.equal(await client.delete(ids), 0);
  });

  it("lists many pages and deletes", async () => {
    for (let i = 0; i < 500; i++) store.blobs.set(hex(randomBytes(32)), Buffer.alloc(3));
    const client = await open();
    const ids: Uint8Array[] = [];
    for await (const { id, sizeBytes } of client.list()) {
      assert.equal(sizeBytes, 3);
      ids.push(id);
    }
    assert.equal(ids.length, 500);
    assert.equal(await client.delete(ids.slice(0, 333)), 333);
    assert.equal(store.blobs.size, 167);
  });

  it("is content with one channel when the device has no more", async () => {
    peer.options.maxChannels = 1;
    const client = await open();
    const blobs = Array.from({ length: 20 }, () => randomBytes(30_000));
    await Promise.all(blobs.map((blob) => client.put(idOf(blob), [blob])));
    assert.equal(store.blobs.size, 20);
  });

  it("leaves half of a device's channels to others once it knows how many there are", async () => {
    const client = await open();
    assert.equal((await client.status()).maxChannels, 4);
    const blobs = Array.from({ length: 20 }, () => randomBytes(300_000));
    await Promise.all(blobs.map((blob) => client.put(idOf(blob), [blob])));
    assert.equal(peer.peakChannels, 2);
  });

  describe("logs", () => {
    const log = randomBytes(32);

    it("appends, reads and lists, and tells a conflict", async () => {
      const client = await open();
      assert.equal((await client.logHead(log)).count, 0);
      let head: Uint8Array = NO_ENTRY;
      for (let i = 0; i < 300; i++)
        head = (await client.logAppend(log, head, Buffer.from(`entry ${String(i)}`.repeat(100)))).head;
      const whole = await client.logRead(log, 0);
      assert.equal(whole.count, 300);
      assert.equal(whole.entries.length, 300);
      assert.deepEqual(whole.head, head);
      assert.equal((await client.logRead(log, 300)).entries.length, 0);
      const fresh = await open();
      assert.equal((await fresh.logRead(log, 290)).entries.length, 10);
      await assert.rejects(client.logAppend(log, NO_ENTRY, Buffer.from("late")), LogConflict);
      await client.logAppend(randomBytes(32), NO_ENTRY, Buffer.from("a"));
      await client.logAppend(randomBytes(32), NO_ENTRY, Buffer.from("a"));
      assert.equal((await client.logList()).length, 3);
    });

    it("names a log that went back, was forked, or does not fit its head", async () => {
      const client = await open();
      let head: Uint8Array = NO_ENTRY;
      for (const text of ["a", "b", "c"]) head = (await client.logAppend(log, head, Buffer.from(text))).head;
      const stored = store.logs.get(hex(log));
      assert.ok(stored);
      stored.entries.pop();
      await refuses(client.logHead(log), "logTampered");
      await refuses(client.logRead(log, 3, head), "logTampered");
      stored.entries.push(Buffer.from("x"));
      await refuses(client.logRead(log, 0), "logTampered");
      await refuses((await open()).logRead(log, 0), "logTampered");
    });

    it("trims until the device gets no further, and reads on from what is left", async () => {
      const client = await open();
      let head: Uint8Array = NO_ENTRY;
      const heads: Uint8Array[] = [];
      for (let i = 0; i < 30; i++) {
        head = (await client.logAppend(log, head, Buffer.from(`entry ${String(i)}`))).head;
        heads.push(head);
      }
      store.trimmedAtOnce = 4;
      assert.equal(await client.logTrim(log, 0, head), 0);
      assert.equal(await client.logTrim(log, 15, head), 15);
      assert.equal(await client.logTrim(log, 30, head), 29);
      assert.equal(await client.logTrim(log, 0, head), 29);
      await assert.rejects(client.logTrim(log, 29, heads[3] ?? head), LogConflict);
      await refuses(client.logTrim(log, 31, head), "protocolViolation");
      await refuses(client.logTrim(randomBytes(32), 0, head), "missingBlob");
      const fresh = await open();
      await assert.rejects(fresh.logRead(log, 0), LogTrimmed);
      await assert.rejects(fresh.logRead(log, 29), LogTrimmed, "verifies nothing that it was not told");
      const { entries, count } = await fresh.logRead(log, 29, heads[28]);
      assert.deepEqual([entries.length, count], [1, 30]);
      await refuses(fresh.logRead(log, 29, heads[27]), "logTampered");
      await fresh.logAppend(log, head, Buffer.from("goes on"));
    });

    it("trims again when the answer was lost, and tells when the log has gone on meanwhile", async () => {
      const client = await open({ patienceMs: 5000 });
      let head: Uint8Array = NO_ENTRY;
      for (const text of ["a", "b", "c"]) head = (await client.logAppend(log, head, Buffer.from(text))).head;
      const stored = store.logs.get(hex(log));
      assert.ok(stored);
      let losses = 0;
      let isArmed = true;
      let isFollowed = false;
      peer.tamper = (frame, direction, link) => {
        if (
          !isArmed ||
          direction !== "toClient" ||
          frame.type !== FrameType.data ||
          stored.first === undefined
        )
          return [frame];
        isArmed = false;
        losses++;
        if (isFollowed) {
          stored.entries.push(Buffer.from("other"));
          stored.head = idOf(stored.head, Buffer.from("other"));
        }
        link.destroy();
        return [];
      };
      assert.equal(await client.logTrim(log, 1, head), 1);
      assert.equal(losses, 1);
      isArmed = true;
      isFollowed = true;
      await assert.rejects(client.logTrim(log, 2, head), LogConflict);
      assert.equal(losses, 2);
      assert.equal(await client.logTrim(log, 0, stored.head), 2);
    });

    logSkipCases(open);

    it("skips once when the answer is lost and another writer goes on", async () => {
      const client = await open({ patienceMs: 5000 });
      const previous = randomBytes(32);
      const mine = randomBytes(50);
      let other: Uint8Array | undefined;
      let losses = 0;
      peer.tamper = (frame, direction, link) => {
        const stored = store.logs.get(hex(log));
        if (direction !== "toClient" || frame.type !== FrameType.data || !stored || losses > 0)
          return [frame];
        losses++;
        if (other) {
          stored.entries.push(other);
          stored.head = idOf(stored.head, other);
        }
        link.destroy();
        return [];
      };
      for (const first of [100, 200]) {
        losses = 0;
        const { count, head } = await client.logSkip(log, first, previous, mine);
        assert.deepEqual([count, hex(head), losses], [first + 1, hex(idOf(previous, mine)), 1]);
        other = randomBytes(9);
      }
      assert.equal((await client.logRead(log, 200, previous)).entries.length, 2);
    });

    it("tells a conflict when its skip may have been done and the log is another by now", async () => {
      const client = await open({ patienceMs: 5000 });
      for (const change of [
        { entries: [Buffer.from("other")], head: idOf(NO_ENTRY, Buffer.from("other")), start: 100 },
        { entries: [Buffer.from("far")], head: idOf(NO_ENTRY, Buffer.from("far")), start: 500, first: 500 },
      ]) {
        store.logs.clear();
        let isArmed = true;
        peer.tamper = (frame, direction, link) => {
          const stored = store.logs.get(hex(log));
          if (direction !== "toClient" || frame.type !== FrameType.data || !stored || !isArmed)
            return [frame];
          isArmed = false;
          Object.assign(stored, change);
          link.destroy();
          return [];
        };
        await assert.rejects(client.logSkip(log, 100, randomBytes(32), randomBytes(50)), LogConflict);
        assert.ok(!isArmed);
      }
    });

    it("refuses to skip where no device goes, and says when the device is too old for it", async () => {
      const client = await open();
      const skip = (first: number, hash = randomBytes(32), entry = randomBytes(3)): Promise<unknown> =>
        client.logSkip(log, first, hash, entry);
      for (const first of [-1, 0.5, 2 ** 52 + 1, NaN]) await assert.rejects(skip(first), RangeError);
      await assert.rejects(skip(5, randomBytes(31)), RangeError);
      await assert.rejects(skip(5, randomBytes(32), randomBytes(3073)), RangeError);
      store.refuse = () => ({ code: FailureCode.unknownVerb, text: "this device does not know verb 21" });
      const refusal = await refuses(skip(5), "protocolVersion");
      assert.match(refusal.hint ?? "", /Update the device's firmware/);
    });

    it("appends once when the answer is lost and another writer goes on", async () => {
      const client = await open({ patienceMs: 5000 });
      const first = await client.logAppend(log, NO_ENTRY, Buffer.from("first"));
      let isArmed = true;
      peer.tamper = (frame, direction, link) => {
        // The answer to the append is lost with the link, and another writer appends meanwhile.
        const stored = store.logs.get(hex(log));
        if (
          isArmed &&
          direction === "toClient" &&
          frame.type === FrameType.data &&
          stored?.entries.length === 2
        ) {
          isArmed = false;
          stored.entries.push(Buffer.from("other"));
          stored.head = idOf(stored.head, Buffer.from("other"));
          link.destroy();
          return [];
        }
        return [frame];
      };
      const mine = await client.logAppend(log, first.head, Buffer.from("mine"));
      assert.equal(mine.count, 2);
      assert.equal((await client.logRead(log, 0)).count, 3);
    });
  });

  describe("when something breaks", () => {
    it("goes on where an upload was cut, again and again", async () => {
      const client = await open({ patienceMs: 10_000 });
      const blob = randomBytes(3_000_000);
      let bulkFrames = 0;
      peer.tamper = (frame, direction, link) => {
        const isBulk =
          direction === "toDevice" && frame.type === FrameType.data && frame.payload[0] === PayloadKind.bulk;
        if (isBulk && ++bulkFrames % 150 === 0) link.destroy();
        return [frame];
      };
      const result = await client.put(idOf(blob), [blob]);
      assert.equal(result.wasStored, false);
      assert.deepEqual(store.blobs.get(hex(idOf(blob))), blob);
      const twice = result.sentBytes - blob.length;
      const cuts = client.stats.connections - 1;
      assert.ok(
        cuts >= 3 && twice <= cuts * 65_536,
        `${String(twice)} bytes sent twice in ${String(cuts)} cuts`,
      );
      assert.ok(peer.resumedHandshakes > 0, "TLS sessions are resumed");
    });

    it("finishes everything under way when links, devices and the relay go and come", async () => {
      const client = await open({ patienceMs: 10_000 });
      const blobs = Array.from({ length: 60 }, () => randomBytes(40_000));
      const puts = Promise.all(blobs.map((blob) => client.put(idOf(blob), [blob])));
      const { port } = peer.address;
      for (let i = 0; i < 3; i++) {
        await new Promise((resolve) => setTimeout(resolve, 15));
        for (const link of peer.links) link.loseDevice();
        await new Promise((resolve) => setTimeout(resolve, 15));
        await peer.stop();
        await peer.listen(port);
      }
      await puts;
      for (const blob of blobs) assert.deepEqual(Buffer.from(await client.get(idOf(blob), 0, 50_000)), blob);
    });

    it("gives up with the cause when patience is over", async () => {
      const client = await open({ patienceMs: 300 });
      await peer.stop();
      const started = Date.now();
      await refuses(client.status(), "relayUnreachable");
      const tookMs = Date.now() - started;
      assert.ok(tookMs >= 250 && tookMs < 3000, `${String(tookMs)} ms`);
    });

    it("waits for a device that is offline, and then refuses", async () => {
      const client = await open({ patienceMs: 400 });
      peer.refuseOpen = () => CloseReason.deviceOffline;
      for (const link of peer.links) link.loseDevice();
      await refuses(client.status(), "deviceOffline");
      peer.refuseOpen = () => undefined;
      await client.status();
    });

    it("refuses at once what does not pass", async () => {
      const cases: [number, ExitStatusName][] = [
        [CloseReason.unknownDevice, "unknownDevice"],
        [CloseReason.locked, "deviceLocked"],
        [CloseReason.authentication, "pairingFailed"],
      ];
      for (const [reason, kind] of cases) {
        peer.refuseOpen = () => reason;
        const started = Date.now();
        await refuses(open({ patienceMs: 10_000 }), kind);
        assert.ok(Date.now() - started < 3000);
      }
      peer.refuseOpen = () => CloseReason.busy;
      await refuses(open({ patienceMs: 200 }), "deviceBusy");
    });

    it("refuses a device that does not know the secret", async () => {
      await refuses(open({ pairingSecret: randomBytes(32), patienceMs: 10_000 }), "pairingFailed");
    });

    it("turns the device's failures into refusals", async () => {
      const cases: [number, ExitStatusName][] = [
        [FailureCode.cardFull, "cardFull"],
        [FailureCode.cardFailed, "cardFailed"],
        [FailureCode.noCard, "cardFailed"],
        [FailureCode.readOnly, "cardFailed"],
        [FailureCode.locked, "deviceLocked"],
        [FailureCode.corrupt, "corruptedBlob"],
        [FailureCode.unknownVerb, "protocolVersion"],
        [999, "protocolVersion"],
      ];
      const client = await open();
      const blob = randomBytes(100);
      for (const [code, kind] of cases) {
        store.refuse = () => ({ code, text: "says the card" });
        const refusal = await refuses(client.put(idOf(blob), [blob]), kind);
        assert.match(refusal.message, /^cam1 .*says the card/);
      }
      store.refuse = () => undefined;
      await refuses(client.get(randomBytes(32), 0, 10), "missingBlob");
    });

    it("tries again when a blob is busy", async () => {
      const client = await open({ patienceMs: 5000 });
      let times = 0;
      store.refuse = (verb) =>
        verb === "put" && times++ < 2 ? { code: FailureCode.blobBusy, text: "" } : undefined;
      const blob = randomBytes(1000);
      assert.equal((await client.put(idOf(blob), [blob])).wasStored, false);
      assert.equal(times, 3);
    });

    it("notices a relay and a device that have fallen silent", async () => {
      peer.options.heartbeatSeconds = 1;
      const client = await open({ stallMs: 300 });
      peer.tamper = (frame) => (frame.type === FrameType.data ? [] : [frame]);
      await refuses(client.status(), "connectionLost");
      peer.tamper = (frame) => [frame];
      const other = await open({ stallMs: 60_000 });
      peer.isMute = true;
      await refuses(other.status(), "connectionLost");
      await refuses(open({ timeoutMs: 300 }), "relayUnreachable");
    });

    it("stops at once when it is told to, also while it waits", async () => {
      const abort = new AbortController();
      const client = await open({ signal: abort.signal, patienceMs: 60_000 });
      peer.refuseOpen = () => CloseReason.deviceOffline;
      for (const link of peer.links) link.loseDevice();
      const waiting = client.status();
      setTimeout(() => {
        abort.abort();
      }, 100);
      await refuses(waiting, "interrupted");
      await refuses(client.status(), "interrupted");
    });

    it("closes twice and rejects what is under way", async () => {
      const client = await open({ patienceMs: 60_000 });
      peer.tamper = (frame) => (frame.type === FrameType.data ? [] : [frame]);
      const waiting = refuses(client.status(), "interrupted");
      await client.close();
      await client.close();
      await waiting;
    });

    it("leaves with the relay that goes away, and comes back", async () => {
      const client = await open({ patienceMs: 10_000 });
      await client.status();
      const { goAway } = await import("../../firmware/protocol/link-messages");
      for (const link of peer.links)
        link.send(FrameType.goAway, 0, goAway, { reason: CloseReason.goingAway, retryMs: 50 });
      await client.status();
      const before = client.stats.connections;
      await new Promise((resolve) => setTimeout(resolve, 20));
      await client.status();
      assert.ok(client.stats.connections <= before + 1);
      assert.equal(client.stats.connections, 2);
    });
  });

  describe("flow control", () => {
    it("never sends more than the device granted, nor frames above its limit", async () => {
      const windowBytes = 10_000;
      peer.options.windowBytes = windowBytes;
      const credit = new Map<number, number>();
      let isViolated = false;
      peer.tamper = (frame, direction) => {
        const key = frame.channel;
        if (direction === "toClient" && frame.type === FrameType.accept) credit.set(key, windowBytes);
        if (direction === "toClient" && frame.type === FrameType.credit) {
          credit.set(key, (credit.get(key) ?? 0) + frame.payload.readUInt32BE(0));
        }
        if (direction === "toDevice" && frame.type === FrameType.data) {
          const left = (credit.get(key) ?? 0) - frame.payload.length - 6;
          credit.set(key, left);
          if (left < 0 || frame.payload.length > 4096) isViolated = true;
        }
        return [frame];
      };
      const client = await open({ channels: 2 });
      const blobs = Array.from({ length: 6 }, () => randomBytes(100_000));
      await Promise.all(blobs.map((blob) => client.put(idOf(blob), [blob])));
      assert.equal(isViolated, false);
    });

    it("ends a channel whose device sends more than it was granted", async () => {
      const client = await open();
      const blob = randomBytes(100);
      await client.put(idOf(blob), [blob]);
      peer.tamper = (frame, direction) => {
        if (direction !== "toClient" || frame.type !== FrameType.data) return [frame];
        const flood = {
          ...frame,
          payload: Buffer.concat([Buffer.from([2, 0, 9, 0, 0, 0, 0]), Buffer.alloc(16_000)]),
        };
        return Array.from({ length: 80 }, () => flood);
      };
      await refuses(client.get(idOf(blob), 0, 100), "protocolViolation");
    });
  });
});
