// SPDX-License-Identifier: MIT
/** What the log store promises while the power stays on, and what it says about damage. */
import assert from "node:assert/strict";
import { Refusal } from "../../firmware/core/refusal";
import { nodeCrypto } from "../../firmware/platform/node/node-crypto";
import { MAX_LOGS } from "../../firmware/protocol/limits";
import { NO_ENTRY, entryHash } from "../../firmware/protocol/log-chain";
import { FailureCode } from "../../firmware/protocol/verbs";
import type { LogHead } from "../../firmware/protocol/verbs";
import { StoreBench, randomBytes, sha256 } from "./store-bench";

const LOG = sha256(Uint8Array.of(1));
const NAME = Buffer.from(LOG).toString("hex");

function fill(bench: StoreBench, sizes: readonly number[], log = LOG): Uint8Array[] {
  return sizes.map((size, i) => {
    const entry = randomBytes(i + 1, size);
    const outcome = bench.append(log, bench.logs.head(log).head, entry);
    assert.ok(outcome && !(outcome instanceof Refusal), JSON.stringify(outcome));
    return entry;
  });
}

function refusal(outcome: unknown, code: number): Refusal {
  assert.ok(outcome instanceof Refusal, String(outcome));
  assert.equal(outcome.code, code);
  return outcome;
}

function corruption(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return refusal(error, FailureCode.corrupt).message;
  }
  throw new Error("nothing thrown");
}

describe("log store", () => {
  it("gives back its entries in order, over segments and reboots", () => {
    const bench = new StoreBench();
    const entries = fill(bench, [0, 1, 442, 443, 3072, ...Array.from({ length: 60 }, (_, i) => 50 * i)]);
    for (let boots = 0; boots < 2; boots++) {
      assert.deepEqual(bench.entries(LOG), entries);
      for (const from of [1, 5, 33, 64]) assert.deepEqual(bench.entries(LOG, from), entries.slice(from));
      assert.deepEqual(bench.entries(LOG, 65), []);
      assert.deepEqual(bench.entries(LOG, 1000), []);
      bench.reboot();
    }
    assert.ok(bench.storage.openFile(`logs/${NAME}-00000001`, "read"));
  });

  it("accepts only the entry that names the head", () => {
    const bench = new StoreBench();
    fill(bench, [10, 20]);
    refusal(bench.append(LOG, NO_ENTRY, randomBytes(9, 30)), FailureCode.logConflict);
    assert.equal(bench.logs.head(LOG).count, 2);
    const other = sha256(Uint8Array.of(2));
    refusal(bench.append(other, randomBytes(1, 32), randomBytes(9, 30)), FailureCode.logConflict);
    assert.equal(bench.logs.count, 1);
  });

  it("answers the very last append again as it did before, and no earlier one", () => {
    const bench = new StoreBench();
    const [first, second] = fill(bench, [10, 20]);
    assert.ok(first && second);
    const previous = entryHash(nodeCrypto, NO_ENTRY, first);
    const again = bench.append(LOG, previous, second) as LogHead;
    assert.equal(again.count, 2);
    assert.deepEqual(again.head, entryHash(nodeCrypto, previous, second));
    refusal(bench.append(LOG, NO_ENTRY, first), FailureCode.logConflict);
    assert.equal(bench.entries(LOG).length, 2);
  });

  it("does one of two appends that name the same head, one after the other", () => {
    const bench = new StoreBench();
    fill(bench, [10]);
    const { head } = bench.logs.head(LOG);
    const outcomes: string[] = [];
    for (const size of [5, 6]) {
      bench.logs.append(LOG, head, randomBytes(size, size), (error) =>
        outcomes.push(error ? (error as Error).name : "ok"),
      );
    }
    bench.turns.run();
    assert.deepEqual(outcomes, ["ok", "Refusal"]);
    assert.equal(bench.logs.head(LOG).count, 2);
  });

  it("holds a bounded number of logs, and refuses one more", () => {
    const bench = new StoreBench();
    for (let i = 0; i < MAX_LOGS; i++) fill(bench, [10], sha256(Uint8Array.of(i, 7)));
    assert.throws(
      () => bench.append(sha256(Uint8Array.of(99)), NO_ENTRY, randomBytes(1, 1)),
      (error) => error instanceof Refusal && error.code === FailureCode.tooMany,
    );
  });

  it("lists logs in pages, ascending", () => {
    const bench = new StoreBench();
    for (let i = 0; i < 60; i++) fill(bench, [10], sha256(Uint8Array.of(i, 7)));
    const first = bench.logs.list(NO_ENTRY);
    assert.equal(first.more, true);
    const second = bench.logs.list(first.logs.at(-1)?.log ?? NO_ENTRY);
    assert.equal(second.more, false);
    const names = [...first.logs, ...second.logs].map(({ log }) => Buffer.from(log).toString("hex"));
    assert.equal(names.length, 60);
    assert.deepEqual(names, [...names].sort());
  });

  it("names the entry that does not read as it was written", () => {
    const bench = new StoreBench();
    const entries = fill(
      bench,
      Array.from({ length: 30 }, () => 3000),
    );
    // 3072 bytes each on the card: this is in the middle of entry 4.
    bench.simCard.corrupt(`logs/${NAME}-00000000`, 512 + 4 * 3072 + 1000);
    const reader = bench.logs.open(LOG, 0);
    const buffer = new Uint8Array(4096);
    for (let i = 0; i < 4; i++) assert.deepEqual(buffer.slice(2, reader.read(buffer)), entries[i]);
    assert.match(
      corruption(() => reader.read(buffer)),
      /entry 4 /,
    );
    assert.deepEqual(bench.entries(LOG, 5), entries.slice(5));
  });

  it("does not take damage in front of whole records for the end of the log", () => {
    const bench = new StoreBench();
    fill(bench, [100, 100, 100, 100]);
    bench.simCard.corrupt(`logs/${NAME}-00000000`, 512 + 2 * 512 + 10);
    bench.reboot();
    assert.match(
      corruption(() => bench.logs.head(LOG)),
      /entry 2 /,
    );
    assert.equal(
      refusal(bench.append(LOG, NO_ENTRY, randomBytes(1, 1)), FailureCode.corrupt).code,
      FailureCode.corrupt,
    );
    assert.equal(bench.logs.list(NO_ENTRY).logs.length, 1);
  });

  it("does not throw away a segment whose header has gone bad", () => {
    const bench = new StoreBench();
    fill(bench, [100, 100]);
    bench.simCard.corrupt(`logs/${NAME}-00000000`, 30);
    bench.reboot();
    corruption(() => bench.logs.head(LOG));
    refusal(bench.append(LOG, NO_ENTRY, randomBytes(1, 1)), FailureCode.corrupt);
    assert.ok(bench.storage.openFile(`logs/${NAME}-00000000`, "read"));
  });

  it("says where a segment is missing", () => {
    const bench = new StoreBench();
    fill(
      bench,
      Array.from({ length: 50 }, () => 3000),
    );
    bench.storage.remove(`logs/${NAME}-00000001`);
    bench.reboot();
    assert.match(
      corruption(() => bench.entries(LOG)),
      /entry 21 /,
    );
    assert.equal(bench.logs.head(LOG).count, 50);
  });

  it("refuses in order when the card fails, and goes on after it", () => {
    const bench = new StoreBench();
    fill(bench, [100, 100]);
    for (let operation = 1; operation <= 4; operation++) {
      bench.simCard.failAtOperation(operation);
      const outcome = bench.append(LOG, bench.logs.head(LOG).head, randomBytes(operation, 3000));
      if (outcome instanceof Refusal) assert.equal(outcome.code, FailureCode.cardFailed);
    }
    bench.turns.run();
    fill(
      bench,
      Array.from({ length: 40 }, () => 3000),
    );
    bench.reboot();
    assert.ok(bench.entries(LOG).length >= 42);
  });

  it("leaves nothing of an append that failed at the end of a segment, when the next one needs a new segment", () => {
    let failures = 0;
    for (let first = 1; first <= 4; first++) {
      for (let second = 0; ; second++) {
        const bench = new StoreBench();
        const append = (entry: Uint8Array, failing: number): boolean => {
          if (failing > 0) bench.simCard.failAtOperation(failing);
          const outcome = bench.append(LOG, bench.logs.head(LOG).head, entry);
          if (outcome instanceof Refusal) assert.equal(outcome.code, FailureCode.cardFailed);
          return !(outcome instanceof Refusal);
        };
        // one sector is left of the 64 KiB
        const entries = fill(
          bench,
          Array.from({ length: 21 }, () => 3000),
        );
        assert.ok(!append(randomBytes(77, 100), first));
        failures++;
        entries.push(randomBytes(78, 3000));
        const isDone = append(randomBytes(78, 3000), second);
        if (isDone && second > 0) break; // it has no more operations to fail at
        if (!isDone) assert.ok(append(randomBytes(78, 3000), 0));
        for (let boots = 0; boots < 2; boots++) {
          assert.equal(Buffer.compare(Buffer.concat(bench.entries(LOG)), Buffer.concat(entries)), 0);
          bench.reboot();
        }
      }
    }
    assert.ok(failures > 20, `${String(failures)} of the small appends failed`);
  });
});
