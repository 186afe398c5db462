// SPDX-License-Identifier: MIT
/** Channels: credit both ways, several requests at once, and clients that keep to no rule. */
import assert from "node:assert/strict";
import { FrameType } from "../../firmware/protocol/frame";
import { CloseReason } from "../../firmware/protocol/link-messages";
import { NO_ENTRY } from "../../firmware/protocol/log-chain";
import { FailureCode, verbs } from "../../firmware/protocol/verbs";
import { ClientBench } from "./client-bench";
import { DeviceBench } from "./device-bench";
import type { DeviceBenchOptions } from "./device-bench";
import { randomBytes, sha256 } from "./store-bench";

function online(options: DeviceBenchOptions = {}): DeviceBench {
  const bench = new DeviceBench({ ...options, limits: { maxRequests: 2, ...options.limits } });
  bench.welcome();
  return bench;
}

function store(client: ClientBench, bytes: Uint8Array, number = 1): void {
  client.ask(verbs.put, number, { id: sha256(bytes), sizeBytes: bytes.length });
  client.upload(number, bytes, client.ready(number));
  assert.deepEqual(client.answer(verbs.put, number), { wasStored: false });
}

function range(
  bytes: Uint8Array,
  lengthBytes = bytes.length,
): { id: Uint8Array; offsetBytes: number; lengthBytes: number } {
  return { id: sha256(bytes), offsetBytes: 0, lengthBytes };
}

describe("channel", () => {
  it("stores and gives back a blob many times the window", () => {
    const client = ClientBench.paired(online(), 1);
    const bytes = randomBytes(1, 1_000_000);
    store(client, bytes);
    const answer = client.request(verbs.get, 2, range(bytes));
    assert.deepEqual(answer, { sentBytes: bytes.length, sizeBytes: bytes.length });
    assert.deepEqual(client.bytesOf(2), bytes);
    const part = client.request(verbs.get, 3, { id: sha256(bytes), offsetBytes: 999_990, lengthBytes: 50 });
    assert.deepEqual(part, { sentBytes: 10, sizeBytes: bytes.length });
    assert.deepEqual(client.request(verbs.get, 4, range(bytes, 0)), {
      sentBytes: 0,
      sizeBytes: bytes.length,
    });
  });

  it("does every verb", () => {
    const client = ClientBench.paired(online(), 1);
    const blobs = [1, 2, 3].map((seed) => randomBytes(seed, 5000 * seed));
    blobs.forEach((bytes) => {
      store(client, bytes);
    });
    const ids = blobs.map(sha256);
    const missing = sha256(Uint8Array.of(1));
    assert.deepEqual(client.request(verbs.has, 1, { ids: [...ids, missing] }), {
      bits: Uint8Array.of(0b11100000),
    });
    const page = client.request(verbs.list, 1, { after: NO_ENTRY, limit: 2 });
    assert.ok("blobs" in page && page.more && page.blobs.length === 2);
    assert.deepEqual(client.request(verbs.delete, 1, { ids: [missing, ids[0] ?? missing] }), { deleted: 1 });
    assert.deepEqual(client.request(verbs.has, 1, { ids }), { bits: Uint8Array.of(0b01100000) });
    const failed = client.request(verbs.get, 1, range(blobs[0] ?? missing));
    assert.ok("code" in failed && failed.code === FailureCode.notFound);

    const log = sha256(Uint8Array.of(9));
    assert.deepEqual(client.request(verbs.logHead, 1, { log }), { count: 0, head: NO_ENTRY });
    let head = NO_ENTRY;
    for (let i = 0; i < 30; i++) {
      const answer = client.request(verbs.logAppend, 1, {
        log,
        previous: head,
        entry: randomBytes(i, 100 * i),
      });
      assert.ok("count" in answer && answer.count === i + 1);
      head = answer.head;
    }
    const read = client.request(verbs.logRead, 2, { log, from: 3, limitBytes: 10_000 });
    assert.ok("entries" in read);
    assert.equal(read.entries, 11);
    assert.equal(
      client.bytesOf(2).length,
      Array.from({ length: 11 }, (_, i) => 2 + 100 * (i + 3)).reduce((a, b) => a + b),
    );
    const list = client.request(verbs.logList, 3, { after: NO_ENTRY });
    assert.deepEqual(list, { more: false, logs: [{ log, count: 30, head }] });
  });

  it("serves several requests at once, and bulk of both in turn", () => {
    const client = ClientBench.paired(online(), 1, { creditBytes: 100_000 });
    const one = randomBytes(1, 300_000);
    const two = randomBytes(2, 200_000);
    store(client, one);
    store(client, two);
    client.isReading = false;
    client.ask(verbs.get, 1, range(one));
    client.ask(verbs.get, 2, range(two));
    assert.ok(client.bytesOf(1).length > 0);
    client.grant(100_000);
    assert.ok(client.bytesOf(2).length > 20_000, "the second request had no turn");
    client.isReading = true;
    client.grant(100_000);
    assert.deepEqual(client.bytesOf(1), one);
    assert.deepEqual(client.bytesOf(2), two);
  });

  it("keeps a slow reader waiting and no other client with it", () => {
    const bench = online();
    const bytes = randomBytes(1, 400_000);
    const slow = ClientBench.paired(bench, 1, { creditBytes: 20_000 });
    store(slow, bytes);
    slow.isReading = false;
    slow.ask(verbs.get, 2, range(bytes));
    assert.ok(slow.bytesOf(2).length <= 20_000);
    const fast = ClientBench.paired(bench, 2);
    fast.request(verbs.get, 1, range(bytes));
    assert.deepEqual(fast.bytesOf(1), bytes);
    assert.ok(slow.bytesOf(2).length <= 20_000);
    slow.isReading = true;
    slow.grant(20_000);
    assert.deepEqual(slow.bytesOf(2), bytes);
  });

  it("sends no more than the socket takes, whatever it is asked for", () => {
    const bench = online();
    const bytes = randomBytes(1, 100_000);
    const client = ClientBench.paired(bench, 1, { creditBytes: 200_000 });
    store(client, bytes);
    bench.relay.roomBytes = 5000;
    client.ask(verbs.get, 2, range(bytes));
    assert.ok(client.bytesOf(2).length <= 5000);
    for (let i = 0; i < 40; i++) bench.relay.giveRoom(4200);
    client.collect();
    assert.deepEqual(client.bytesOf(2), bytes);
  });

  it("is closed when more comes than was granted, and no other", () => {
    const bench = online();
    const client = ClientBench.paired(bench, 1);
    const other = ClientBench.paired(bench, 2);
    const bytes = randomBytes(1, 300_000);
    bench.simCard.failAtOperation(1_000_000);
    client.ask(verbs.put, 1, { id: sha256(bytes), sizeBytes: bytes.length });
    client.ready(1);
    // Credit is granted as bytes are worked off; a frame larger than all of it can only be too much.
    for (let at = 0; client.creditBytes > 0 && at < 200_000; at += 4000) {
      client.bench.relay.options.onReadable(0);
      client.sendBulk(1, at, bytes.subarray(at, at + 4000));
    }
    assert.equal(client.closedReason, undefined);
    const frames: Uint8Array[] = [];
    for (let i = 0; i < 30; i++) frames.push(new Uint8Array(4096).fill(0xff, 0, 1));
    other.sendPayload(frames[0] ?? new Uint8Array(1));
    assert.equal(other.closedReason, CloseReason.protocol);
  });

  it("is closed by bulk that is not what comes next", () => {
    const bytes = randomBytes(1, 50_000);
    const cases: [string, (client: ClientBench) => void][] = [
      [
        "with a hole",
        (client) => {
          client.sendBulk(1, 4000, bytes.subarray(4000, 8000));
        },
      ],
      [
        "from the front again",
        (client) => {
          client.sendBulk(1, 0, bytes.subarray(0, 4000));
          client.sendBulk(1, 0, bytes.subarray(0, 4000));
        },
      ],
      [
        "for no request",
        (client) => {
          client.sendBulk(2, 0, bytes.subarray(0, 10));
        },
      ],
      [
        "without bytes",
        (client) => {
          client.sendPayload(Uint8Array.of(2, 0, 1, 0, 0, 0, 0));
        },
      ],
      [
        "past the end",
        (client) => {
          client.upload(1, bytes, 0, 48_000);
          client.sendBulk(1, 48_000, new Uint8Array(2001));
        },
      ],
    ];
    for (const [what, misbehave] of cases) {
      const bench = online();
      const client = ClientBench.paired(bench, 1);
      client.ask(verbs.put, 1, { id: sha256(bytes), sizeBytes: bytes.length });
      client.ready(1);
      misbehave(client);
      assert.equal(client.closedReason, CloseReason.protocol, what);
      assert.ok("device" in ClientBench.paired(bench, 2).request(verbs.status, 1, {}), what);
    }
  });

  it("ignores the bulk that was under way when an upload failed", () => {
    const bench = online();
    const client = ClientBench.paired(bench, 1);
    const bytes = randomBytes(1, 50_000);
    client.ask(verbs.put, 1, { id: sha256(bytes), sizeBytes: bytes.length });
    client.ready(1);
    client.upload(1, bytes, 0, 8000);
    bench.simCard.failAtOperation(1);
    client.sendBulk(1, 8000, bytes.subarray(8000, 12_000));
    client.sendBulk(1, 12_000, bytes.subarray(12_000, 13_000));
    const failed = client.answer(verbs.put, 1);
    assert.ok("code" in failed && failed.code === FailureCode.cardFailed);
    client.sendBulk(1, 13_000, bytes.subarray(13_000, 14_000));
    assert.equal(client.closedReason, undefined);
    client.ask(verbs.put, 1, { id: sha256(bytes), sizeBytes: bytes.length });
    client.upload(1, bytes, client.ready(1));
    assert.deepEqual(client.answer(verbs.put, 1), { wasStored: false });
  });

  it("is closed by one request more than it may have, and by a number in use", () => {
    for (const numbers of [
      [1, 2, 3],
      [1, 1],
    ]) {
      const client = ClientBench.paired(online(), 1);
      assert.equal(client.maxRequests, 2);
      const bytes = randomBytes(1, 50_000);
      for (const number of numbers) {
        if (client.closedReason !== undefined) break;
        client.ask(verbs.put, number, { id: sha256(Uint8Array.of(number)), sizeBytes: bytes.length });
      }
      assert.equal(client.closedReason, CloseReason.protocol);
    }
  });

  it("leaves its upload to the next channel at once", () => {
    const bench = online();
    const bytes = randomBytes(1, 200_000);
    const put = { id: sha256(bytes), sizeBytes: bytes.length };
    const first = ClientBench.paired(bench, 1);
    first.ask(verbs.put, 1, put);
    first.upload(1, bytes, first.ready(1), 100_000);
    const second = ClientBench.paired(bench, 2);
    const busy = second.request(verbs.put, 1, put);
    assert.ok("code" in busy && busy.code === FailureCode.blobBusy);
    bench.relay.deliver(Uint8Array.of(FrameType.close, 0, 0, 1, 0, 2, 0, 0));
    second.ask(verbs.put, 1, put);
    const from = second.ready(1);
    assert.ok(from >= 100_000 - 512, String(from));
    second.upload(1, bytes, from);
    assert.deepEqual(second.answer(verbs.put, 1), { wasStored: false });
  });

  it("keeps uploads over a lost link", () => {
    const bench = online();
    const bytes = randomBytes(1, 200_000);
    const put = { id: sha256(bytes), sizeBytes: bytes.length };
    const first = ClientBench.paired(bench, 1);
    first.ask(verbs.put, 1, put);
    first.upload(1, bytes, first.ready(1), 100_000);
    bench.relay.fail("lost");
    assert.deepEqual(bench.states, ["online", "offline"]);
    bench.turns.advance(2000);
    bench.welcome();
    const second = ClientBench.paired(bench, 1);
    second.ask(verbs.put, 1, put);
    assert.ok(second.ready(1) >= 100_000 - 512);
  });

  it("refuses one client more than there is room for, and impossible terms", () => {
    const bench = online();
    for (let i = 1; i <= 4; i++) assert.ok(bench.open(i).accept);
    assert.equal(bench.open(5).closed, CloseReason.busy);
    const fresh = online();
    assert.equal(fresh.open(1, { maxFrameBytes: 100 }).closed, CloseReason.protocol);
    assert.equal(fresh.open(1, { creditBytes: 100 }).closed, CloseReason.protocol);
    assert.equal(fresh.open(1, { creditBytes: 2 ** 31 }).closed, CloseReason.protocol);
    const greedy = ClientBench.paired(fresh, 1);
    greedy.grant(2 ** 31);
    assert.equal(greedy.closedReason, CloseReason.creditExceeded);
  });

  it("says that there is no card, and works when there is one", () => {
    const bench = online();
    const bytes = randomBytes(1, 1000);
    const client = ClientBench.paired(bench, 1);
    store(client, bytes);
    bench.simCard.eject();
    for (let i = 0; i < 2; i++) {
      const failed = client.request(verbs.get, 1, range(bytes));
      assert.ok("code" in failed && failed.code === FailureCode.noCard);
    }
    const status = client.request(verbs.status, 1, {});
    assert.ok("card" in status && status.card === 1 && status.capacityBytes === 0);
    bench.simCard.insert();
    bench.turns.advance(10_000);
    client.request(verbs.get, 1, range(bytes));
    assert.deepEqual(client.bytesOf(1), bytes);
  });
});
