// SPDX-License-Identifier: MIT
/**
 * The heap that the root manifest gives a device is enough, with room to spare: everything a board lets its clients do at
 * once is done on a board with 10 % less. Memory exhaustion ends the firmware, so a pass is a proof.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { BOARD_LIMITS } from "../firmware/core/device-config";
import { DeviceClient } from "../host-tools/remote/device-client";
import { TestRelay } from "../relay/test-relay";
import { Board } from "./board";
import { xsBoardProgram } from "./xs-build";
import { type XsCreation, manifestCreation } from "./xs-creation";

const SECRET = new Uint8Array(32).fill(7);
const NO_ENTRY = new Uint8Array(32);
const KIB = 1024;
const MIB = 1024 * KIB;
/** What must be free at the worst moment, of slots and of chunks. */
const SPARE = 0.1;
const CHANNELS = BOARD_LIMITS.maxChannels;

describe("the heap of a board", function () {
  this.timeout(60_000);
  let relay: TestRelay;
  let board: Board;
  let client: DeviceClient;
  const ends: (() => Promise<unknown>)[] = [];

  before(async function () {
    this.timeout(180_000); // the first run compiles the engine
    await xsBoardProgram();
    relay = await TestRelay.start();
  });
  after(() => relay.stop());
  beforeEach(async () => {
    let goOnline = (): void => undefined;
    const online = new Promise<void>((resolve) => (goOnline = resolve));
    board = new Board({
      name: "cam1",
      identity: identityOf("coffer:device:cam1"),
      relay: { host: "127.0.0.1", port: relay.port },
      pairings: [SECRET],
      seed: 1,
      creation: withLess(await manifestCreation()),
      onState: goOnline,
    });
    ends.push(() => board.cutPower());
    await board.boot();
    await online;
    client = await DeviceClient.open({
      relay: { host: "127.0.0.1", port: relay.port },
      identity: identityOf("coffer:client:ann"),
      device: "cam1",
      pairingSecret: SECRET,
      channels: CHANNELS,
      patienceMs: 10_000,
    });
    ends.push(() => client.close());
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  it("carries an upload, then a download, on every channel at once", async () => {
    const blobs = Array.from({ length: 2 * CHANNELS }, () => newBlob(512 * KIB));
    await Promise.all(blobs.map(({ id, bytes }) => client.put(id, [bytes])));
    const back = await Promise.all(blobs.map(({ id, bytes }) => client.get(id, 0, bytes.length)));
    blobs.forEach(({ bytes }, index) => {
      assert.ok(back[index] && bytes.equals(back[index]));
    });
    await requireAlive();
  });

  it("carries uploads, downloads, listings, questions and logs together", async () => {
    const stored = Array.from({ length: 30 }, () => newBlob(3 * KIB));
    await Promise.all(stored.map(({ id, bytes }) => client.put(id, [bytes])));
    const logs = Array.from({ length: BOARD_LIMITS.maxLogs }, () => new Uint8Array(randomBytes(32)));
    const [long = NO_ENTRY, short = NO_ENTRY, ...others] = logs;
    let { head } = await client.logAppend(long, NO_ENTRY, randomBytes(3 * KIB));
    // More than a segment, so that there is something to trim.
    for (let i = 0; i < 24; i++) ({ head } = await client.logAppend(long, head, randomBytes(3 * KIB)));
    await client.logAppend(short, NO_ENTRY, randomBytes(3 * KIB));
    const { id, bytes } = newBlob(512 * KIB);
    const unknown = Array.from({ length: 400 }, () => new Uint8Array(randomBytes(32)));
    await Promise.all([
      client.put(id, [bytes]),
      ...others.map((log) => client.logAppend(log, NO_ENTRY, randomBytes(3 * KIB))),
      ...everyChannel(() => client.has(unknown)),
      ...everyChannel(async () => {
        for await (const blob of client.list()) assert.ok(blob.sizeBytes > 0);
      }),
    ]);
    await Promise.all([
      ...everyChannel(() => client.get(id, 0, bytes.length)),
      ...others.map((log) => client.logRead(log, 0)),
      client.logTrim(long, 25, head),
      client.logSkip(short, 1000, NO_ENTRY, randomBytes(3 * KIB)),
      client.delete(stored.map((blob) => blob.id)),
      client.status(),
      client.health(),
      ...everyChannel(() => client.deviceLog(0)),
    ]);
    assert.ok((await client.logTrim(long, 0, head)) > 0);
    assert.equal((await client.logHead(short)).count, 1001);
    await requireAlive();
  });

  it("needs no more for a long stream than for a short one", async () => {
    const short = await liveDuring(1 * MIB);
    const long = await liveDuring(24 * MIB);
    const [slots, chunkBytes] = [long.slots - short.slots, long.chunkBytes - short.chunkBytes];
    assert.ok(slots <= 64 && chunkBytes <= KIB, `${String(slots)} slots, ${String(chunkBytes)} bytes more`);
    await requireAlive();
  });

  /** The most that was live in any of the moments between two events, while a blob came and went. */
  async function liveDuring(sizeBytes: number): Promise<{ slots: number; chunkBytes: number }> {
    const { id, bytes } = newBlob(sizeBytes);
    const most = { slots: 0, chunkBytes: 0 };
    let isDone = false;
    const sample = async (): Promise<void> => {
      while (!isDone) {
        const live = await board.collectGarbage();
        most.slots = Math.max(most.slots, live.slots);
        most.chunkBytes = Math.max(most.chunkBytes, live.chunkBytes);
        await new Promise(setImmediate);
      }
    };
    const sampling = sample();
    try {
      await client.put(id, [bytes]);
      assert.ok(bytes.equals(await client.get(id, 0, sizeBytes)));
    } finally {
      isDone = true;
      await sampling;
    }
    return most;
  }

  async function requireAlive(): Promise<void> {
    const { reason = "", text = "" } = board.exit ?? {};
    assert.equal(board.exit, undefined, `${reason} ${text}`);
    const counters = await board.collectGarbage();
    assert.ok(counters.stackSlotsPeak <= (1 - SPARE) * counters.stackSlotsLimit, "stack");
    assert.ok(counters.keys <= (1 - SPARE) * counters.keysLimit, "keys");
  }
});

function withLess(creation: XsCreation): XsCreation {
  const { chunk, heap } = creation;
  return {
    ...creation,
    static: 0,
    chunk: { ...chunk, initial: Math.floor((1 - SPARE) * chunk.initial) },
    heap: { ...heap, initial: Math.floor((1 - SPARE) * heap.initial) },
  };
}

function identityOf(uri: string): { key: string; chain: string; cert: string; ca: string } {
  const { key, certificate } = TestRelay.deviceAuthority.issue({ uris: [uri], usage: "client" });
  const chain = certificate + TestRelay.deviceAuthority.certificate;
  return { key, chain, cert: chain, ca: TestRelay.relayAuthority.certificate };
}

function newBlob(sizeBytes: number): { id: Uint8Array; bytes: Buffer } {
  const bytes = randomBytes(sizeBytes);
  return { id: new Uint8Array(createHash("sha256").update(bytes).digest()), bytes };
}

function everyChannel<T>(work: () => Promise<T>): Promise<T>[] {
  return Array.from({ length: CHANNELS }, work);
}
