// SPDX-License-Identifier: MIT
/** What the blob store promises while the power stays on, and over orderly reboots. */
import assert from "node:assert/strict";
import { Refusal } from "../../firmware/core/refusal";
import { MAX_UPLOADS } from "../../firmware/protocol/limits";
import { CardState, FailureCode } from "../../firmware/protocol/verbs";
import { SimCard } from "../card";
import { StoreBench, randomBytes, sha256 } from "./store-bench";

function refusal(outcome: unknown, code: number): void {
  assert.ok(outcome instanceof Refusal, `expected a refusal, got ${String(outcome)}`);
  assert.equal(outcome.code, code, outcome.message);
}

function throwsRefusal(action: () => unknown, code: number): void {
  assert.throws(action, (error) => error instanceof Refusal && error.code === code);
}

describe("blob store", () => {
  it("gives back what was stored, also after a reboot", () => {
    const bench = new StoreBench();
    for (const size of [0, 1, 511, 512, 1024, 5000, 100_000]) {
      const bytes = randomBytes(size, size);
      assert.equal(bench.put(bytes).result, "stored");
      assert.ok(bench.blobs.has(sha256(bytes)));
      assert.deepEqual(bench.read(sha256(bytes)), bytes);
    }
    bench.reboot();
    for (const size of [0, 1, 511, 512, 1024, 5000, 100_000]) {
      const bytes = randomBytes(size, size);
      assert.equal(bench.put(bytes).result, "wasStored");
      assert.deepEqual(bench.read(sha256(bytes)), bytes);
    }
    assert.equal(bench.list().length, 7);
  });

  it("refuses bytes that are not the ones named, and forgets them", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(1, 9000);
    const id = sha256(bytes);
    const wrong = bytes.slice();
    wrong[8999] = (wrong[8999] ?? 0) ^ 1;
    refusal(bench.put(wrong, { id }).result, FailureCode.hashMismatch);
    assert.equal(bench.blobs.has(id), false);
    assert.equal(bench.blobs.uploadCount, 0);
    assert.equal(bench.put(bytes).result, "stored");
  });

  it("resumes where a closed channel stopped, without a byte twice that made a whole sector", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(2, 50_000);
    const first = bench.put(bytes, { stopAt: 33_333 });
    first.upload?.release();
    bench.turns.run();
    assert.equal(bench.blobs.uploadCount, 1);
    assert.equal(bench.blobs.has(sha256(bytes)), false);
    assert.equal(bench.list().length, 0);
    throwsRefusal(() => bench.blobs.open(sha256(bytes)), FailureCode.notFound);
    const second = bench.put(bytes);
    assert.equal(second.resumedAt, 33_333 - (33_333 % 512));
    assert.equal(second.result, "stored");
    assert.deepEqual(bench.read(sha256(bytes)), bytes);
  });

  it("resumes after a reboot", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(3, 50_000);
    const first = bench.put(bytes, { stopAt: 33_333 });
    first.upload?.release();
    bench.turns.run();
    bench.reboot();
    assert.equal(bench.blobs.uploadCount, 1);
    const second = bench.put(bytes);
    assert.ok((second.resumedAt ?? 0) >= 33_333 - 2 * bench.limits.syncBytes, String(second.resumedAt));
    assert.equal(second.result, "stored");
  });

  it("lets another channel take up an upload at once when its channel has gone", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(4, 20_000);
    const first = bench.put(bytes, { stopAt: 10_000 });
    throwsRefusal(() => bench.put(bytes), FailureCode.blobBusy);
    first.upload?.release();
    const second = bench.put(bytes);
    assert.equal(second.result, "stored");
    assert.ok((second.resumedAt ?? 0) > 9000);
  });

  it("starts over when the client says another size than before", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(5, 20_000);
    const lie = bench.put(bytes.slice(0, 15_000), { id: sha256(bytes), stopAt: 10_000 });
    lie.upload?.release();
    bench.turns.run();
    const second = bench.put(bytes);
    assert.equal(second.resumedAt, 0);
    assert.equal(second.result, "stored");
  });

  it("deletes stored blobs and partial uploads, for good", () => {
    const bench = new StoreBench();
    const whole = randomBytes(6, 3000);
    const partial = randomBytes(7, 30_000);
    bench.put(whole);
    bench.put(partial, { stopAt: 20_000 }).upload?.release();
    bench.turns.run();
    assert.equal(bench.delete(sha256(whole)), true);
    assert.equal(bench.delete(sha256(partial)), true);
    assert.equal(bench.delete(sha256(partial)), false);
    bench.reboot();
    assert.equal(bench.list().length, 0);
    assert.equal(bench.blobs.uploadCount, 0);
    assert.equal(bench.put(whole).result, "stored");
  });

  it("does not delete what is being read or uploaded", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(8, 3000);
    bench.put(bytes);
    const reader = bench.blobs.open(sha256(bytes));
    refusal(bench.delete(sha256(bytes)), FailureCode.blobBusy);
    reader.close();
    reader.close();
    const other = randomBytes(9, 30_000);
    bench.put(other, { stopAt: 10_000 });
    refusal(bench.delete(sha256(other)), FailureCode.blobBusy);
    assert.equal(bench.delete(sha256(bytes)), true);
  });

  it("lists in pages, ascending, whatever their size", () => {
    const bench = new StoreBench();
    const ids: string[] = [];
    for (let i = 0; i < 150; i++) {
      const bytes = randomBytes(100 + i, 10 + i);
      bench.put(bytes);
      ids.push(Buffer.from(sha256(bytes)).toString("hex"));
    }
    ids.sort();
    for (const limit of [1, 7, 90]) {
      assert.deepEqual(
        bench.list(limit).map((id) => Buffer.from(id).toString("hex")),
        ids,
      );
    }
  }).timeout(60_000);

  it("refuses on a full card, after dropping partial uploads nobody is sending", () => {
    const bench = new StoreBench({ capacityBytes: 4 * 2 ** 20 });
    const idle = randomBytes(10, 1_500_000);
    bench.put(idle, { stopAt: 50_000 }).upload?.release();
    bench.turns.run();
    const big = randomBytes(11, 2_000_000);
    assert.equal(bench.put(big).result, "stored");
    assert.equal(bench.blobs.uploadCount, 0);
    refusal(bench.put(randomBytes(12, 2_000_000)).result, FailureCode.cardFull);
    assert.equal(bench.blobs.uploadCount, 0);
    assert.deepEqual(bench.read(sha256(big)), big);
    bench.delete(sha256(big));
    assert.equal(bench.put(randomBytes(12, 2_000_000)).result, "stored");
  });

  it("remembers a bounded number of uploads and drops the oldest idle one for a new one", () => {
    const bench = new StoreBench();
    for (let i = 0; i < MAX_UPLOADS + 3; i++) {
      bench.put(randomBytes(200 + i, 9000), { stopAt: 6000 }).upload?.release();
      bench.turns.run();
    }
    assert.equal(bench.blobs.uploadCount, MAX_UPLOADS - 1);
    assert.equal(bench.put(randomBytes(200 + MAX_UPLOADS + 2, 9000)).resumedAt, 6000 - (6000 % 512));
  });

  it("refuses one upload more when all are running", () => {
    const bench = new StoreBench();
    for (let i = 0; i < MAX_UPLOADS - 1; i++) bench.put(randomBytes(300 + i, 9000), { stopAt: 1000 });
    refusal(bench.put(randomBytes(400, 9000)).result, FailureCode.tooMany);
  });

  it("stores a blob again whose header has gone bad", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(13, 5000);
    const id = sha256(bytes);
    bench.put(bytes);
    const hex = Buffer.from(id).toString("hex");
    bench.simCard.corrupt(`blobs/${hex.slice(0, 2)}/${hex}`, 1536 + 20);
    assert.equal(bench.blobs.has(id), false);
    assert.equal(bench.list().length, 0);
    assert.equal(bench.put(bytes).result, "stored");
    assert.deepEqual(bench.read(id), bytes);
  });

  it("fails a request and keeps the progress when the card fails under an upload", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(14, 60_000);
    const first = bench.put(bytes, { stopAt: 40_000 });
    bench.simCard.failAtOperation(1);
    first.upload?.write(bytes.slice(40_000, 60_000));
    bench.turns.run();
    refusal(first.result, FailureCode.cardFailed);
    const second = bench.put(bytes);
    assert.ok((second.resumedAt ?? 0) > 20_000, String(second.resumedAt));
    assert.equal(second.result, "stored");
  });
});

describe("card", () => {
  it("is tried again every 10 seconds while there is none", () => {
    const bench = new StoreBench();
    bench.put(randomBytes(20, 1000));
    bench.simCard.eject();
    assert.throws(() => bench.blobs.has(sha256(randomBytes(20, 1000))));
    bench.card.suspect();
    assert.equal(bench.card.state, CardState.none);
    throwsRefusal(() => bench.blobs, FailureCode.noCard);
    bench.turns.advance(25_000);
    assert.equal(bench.card.state, CardState.none);
    bench.simCard.insert();
    bench.turns.advance(10_000);
    assert.equal(bench.card.state, CardState.ok);
    assert.ok(bench.blobs.has(sha256(randomBytes(20, 1000))));
  });

  it("serves what it has when it is write-protected", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(21, 1000);
    const partial = randomBytes(22, 9000);
    bench.put(bytes);
    bench.put(partial, { stopAt: 6000 }).upload?.release();
    bench.turns.run();
    bench.simCard.isReadOnly = true;
    bench.reboot();
    assert.equal(bench.card.state, CardState.readOnly);
    throwsRefusal(() => bench.put(randomBytes(23, 100)), FailureCode.readOnly);
    throwsRefusal(() => bench.put(partial), FailureCode.readOnly);
    refusal(bench.delete(sha256(bytes)), FailureCode.readOnly);
    assert.deepEqual(bench.read(sha256(bytes)), bytes);
    assert.equal(bench.list().length, 1);
    assert.equal(bench.blobs.has(sha256(partial)), false);
  });

  it("is left alone when it has another file system, says so, and is looked at again", () => {
    const bench = new StoreBench();
    const { writes } = bench.simCard;
    bench.simCard.failAtOperation(1, "unformatted");
    bench.reboot();
    assert.equal(bench.card.state, CardState.unformatted);
    throwsRefusal(() => bench.blobs, FailureCode.cardFailed);
    assert.equal(bench.simCard.writes, writes);
    bench.turns.advance(10_000);
    assert.equal(bench.card.state, CardState.ok);
  });

  it("is left alone when it holds somebody else's files, and used once they are gone", () => {
    const simCard = new SimCard();
    simCard.createDirectory("holiday");
    const bench = new StoreBench({ simCard });
    assert.equal(bench.card.state, CardState.foreign);
    throwsRefusal(() => bench.blobs, FailureCode.cardFailed);
    assert.equal(bench.simCard.writes, 0);
    bench.storage.remove("holiday");
    bench.turns.advance(10_000);
    assert.equal(bench.card.state, CardState.ok);
  });

  it("is left alone when it holds blobs and no marker", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(25, 1000);
    bench.put(bytes);
    bench.storage.remove("card");
    const writes = bench.simCard.writes;
    bench.reboot();
    bench.reboot();
    if (bench.card.state === CardState.ok) return; // the removal came back with the power cut
    assert.equal(bench.card.state, CardState.foreign);
    assert.equal(bench.simCard.writes, writes);
  });

  it("repairs its marker when only that has gone bad", () => {
    const bench = new StoreBench();
    const bytes = randomBytes(24, 1000);
    bench.put(bytes);
    bench.simCard.corrupt("card", 8);
    bench.reboot();
    assert.equal(bench.card.state, CardState.ok);
    assert.deepEqual(bench.read(sha256(bytes)), bytes);
  });
});
