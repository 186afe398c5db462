// SPDX-License-Identifier: MIT
/** What skipping in a log promises: the log begins anew with one entry, and what was before is given up only then. */
import assert from "node:assert/strict";
import { StorageError } from "../../firmware/core/io";
import { Refusal } from "../../firmware/core/refusal";
import { nodeCrypto } from "../../firmware/platform/node/node-crypto";
import { MAX_LOGS, MAX_SKIP_SEQUENCE } from "../../firmware/protocol/limits";
import { NO_ENTRY, entryHash } from "../../firmware/protocol/log-chain";
import { CardState, FailureCode } from "../../firmware/protocol/verbs";
import type { LogHead } from "../../firmware/protocol/verbs";
import { IN_SEGMENT, LOG, OTHER, fill, pathOf, refused, segmentsOf } from "./log-files";
import { StoreBench, randomBytes, sha256 } from "./store-bench";

/** The hash of an entry that no device here has. */
const BEFORE = randomBytes(777, 32);
const ENTRY = randomBytes(778, 3000);
const HASH = entryHash(nodeCrypto, BEFORE, ENTRY);

/** Runs until it is through or the power goes. */
function untilCut(bench: StoreBench, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (bench.simCard.isPowered) throw error;
  }
  bench.turns.drop();
  bench.simCard.cutPower();
  bench.simCard.powerOn();
}

/** The log is what a skip to `first` made of it, and goes on. */
function checkSkipped(bench: StoreBench, first: number): void {
  assert.deepEqual(bench.logs.head(LOG), { count: first + 1, head: HASH });
  assert.equal(bench.trim(LOG, 0), first);
  assert.deepEqual(bench.entries(LOG, first), [ENTRY]);
  assert.deepEqual(bench.entries(LOG, first + 1), []);
  if (first > 0) refused(() => bench.entries(LOG, first - 1), FailureCode.notFound);
  if (first > 0) refused(() => bench.entries(LOG), FailureCode.notFound);
}

describe("skipping in a log", () => {
  it("begins a log that is not there at any entry", () => {
    for (const first of [1, 1000, MAX_SKIP_SEQUENCE]) {
      const bench = new StoreBench();
      assert.deepEqual(bench.skip(LOG, first, BEFORE, ENTRY), { count: first + 1, head: HASH });
      checkSkipped(bench, first);
      bench.reboot();
      checkSkipped(bench, first);
      assert.deepEqual(segmentsOf(bench), [pathOf(0)]);
      const more = fill(bench, 50);
      bench.reboot();
      assert.deepEqual(bench.entries(LOG, first), [ENTRY, ...more]);
      assert.equal(bench.logs.head(LOG).count, first + 51);
    }
  });

  it("takes the place of a shorter log, and gives its room back", () => {
    const bench = new StoreBench();
    const { freeBytes } = bench.storage.space();
    fill(bench, 70);
    assert.deepEqual(bench.skip(LOG, 71, BEFORE, ENTRY), { count: 72, head: HASH });
    checkSkipped(bench, 71);
    assert.deepEqual(segmentsOf(bench), [pathOf(4)]);
    assert.equal(freeBytes - bench.storage.space().freeBytes, 64 * 1024);
    bench.reboot();
    checkSkipped(bench, 71);
    const more = fill(bench, 30);
    assert.deepEqual(segmentsOf(bench), [pathOf(4), pathOf(5)]);
    assert.equal(bench.trim(LOG, 102), 71 + IN_SEGMENT);
    bench.reboot();
    assert.equal(bench.trim(LOG, 0), 71 + IN_SEGMENT);
    assert.deepEqual(bench.entries(LOG, 71 + IN_SEGMENT), more.slice(IN_SEGMENT - 1));
    assert.deepEqual(segmentsOf(bench), [pathOf(5)]);
  });

  it("skips again, over what it skipped to, and over what was trimmed", () => {
    const bench = new StoreBench();
    fill(bench, 50);
    bench.trim(LOG, 50);
    for (const first of [60, 62, 1000]) {
      assert.deepEqual(bench.skip(LOG, first, BEFORE, ENTRY), { count: first + 1, head: HASH });
      checkSkipped(bench, first);
      bench.reboot();
      checkSkipped(bench, first);
    }
    assert.deepEqual(segmentsOf(bench), [pathOf(5)]);
  });

  it("is an append where the log ends just there", () => {
    const bench = new StoreBench();
    const first = randomBytes(1, 10);
    const head = entryHash(nodeCrypto, NO_ENTRY, first);
    assert.deepEqual(bench.skip(LOG, 0, NO_ENTRY, first), { count: 1, head });
    assert.deepEqual(bench.skip(LOG, 1, head, ENTRY), { count: 2, head: entryHash(nodeCrypto, head, ENTRY) });
    assert.deepEqual(bench.entries(LOG), [first, ENTRY]);
    assert.deepEqual(segmentsOf(bench), [pathOf(0)]);
    bench.reboot();
    assert.equal(bench.trim(LOG, 0), 0);
    assert.deepEqual(bench.entries(LOG), [first, ENTRY]);
  });

  it("refuses what does not lie behind the log, and changes nothing", () => {
    const bench = new StoreBench();
    refused(() => bench.skip(LOG, 0, BEFORE, ENTRY), FailureCode.logConflict);
    assert.equal(bench.logs.count, 0);
    const entries = fill(bench, 30);
    const { head } = bench.logs.head(LOG);
    const { writes } = bench.simCard;
    refused(() => bench.skip(LOG, 30, BEFORE, ENTRY), FailureCode.logConflict);
    refused(() => bench.skip(LOG, 30, NO_ENTRY, ENTRY), FailureCode.logConflict);
    refused(() => bench.skip(LOG, 29, head, ENTRY), FailureCode.logConflict);
    refused(() => bench.skip(LOG, 29, BEFORE, ENTRY), FailureCode.logConflict);
    refused(() => bench.skip(LOG, 0, NO_ENTRY, ENTRY), FailureCode.logConflict);
    // The last entry, said to have another sequence.
    const last = entries[29] ?? ENTRY;
    const previous = entries
      .slice(0, 29)
      .reduce((hash, entry) => entryHash(nodeCrypto, hash, entry), NO_ENTRY);
    refused(() => bench.skip(LOG, 30, previous, last), FailureCode.logConflict);
    refused(() => bench.skip(LOG, MAX_SKIP_SEQUENCE + 1, BEFORE, ENTRY), FailureCode.badRequest);
    refused(() => bench.skip(LOG, 99, BEFORE, new Uint8Array(3073)), FailureCode.tooLarge);
    assert.equal(bench.simCard.writes, writes);
    assert.deepEqual(bench.entries(LOG), entries);
  });

  it("answers again as it did before, and no more once the log has gone on", () => {
    const bench = new StoreBench();
    fill(bench, 30);
    const answer = bench.skip(LOG, 99, BEFORE, ENTRY);
    for (let boots = 0; boots < 2; boots++) {
      assert.deepEqual(bench.skip(LOG, 99, BEFORE, ENTRY), answer);
      // As the append that it may have been.
      assert.deepEqual(bench.append(LOG, BEFORE, ENTRY), answer);
      bench.reboot();
    }
    checkSkipped(bench, 99);
    fill(bench, 1);
    refused(() => bench.skip(LOG, 99, BEFORE, ENTRY), FailureCode.logConflict);
    const appended = randomBytes(5, 100);
    const { count, head } = bench.logs.head(LOG);
    const answered = bench.append(LOG, head, appended);
    assert.deepEqual(bench.skip(LOG, count, head, appended), answered);
    assert.equal(bench.entries(LOG, 99).length, 3);
  });

  it("keeps to the number of logs that the device has room for", () => {
    const bench = new StoreBench();
    for (let i = 0; i < MAX_LOGS; i++) bench.skip(sha256(Uint8Array.of(i, 7)), 5, BEFORE, ENTRY);
    refused(() => bench.skip(LOG, 5, BEFORE, ENTRY), FailureCode.tooMany);
    assert.equal(bench.logs.count, MAX_LOGS);
    const known = sha256(Uint8Array.of(3, 7));
    assert.deepEqual(bench.skip(known, 9, BEFORE, ENTRY), { count: 10, head: HASH });
    bench.reboot();
    assert.equal(bench.logs.count, MAX_LOGS);
  });

  it("refuses on a card that is write-protected or full, and on a log that is damaged", () => {
    const bench = new StoreBench({ capacityBytes: 700 * 1024, clusterBytes: 1024 });
    const entries = fill(bench, 30);
    for (let i = 3; i < 40; i++) bench.append(sha256(Uint8Array.of(i)), NO_ENTRY, ENTRY);
    refused(() => bench.skip(LOG, 99, BEFORE, ENTRY), FailureCode.cardFull);
    assert.deepEqual(bench.entries(LOG), entries);
    bench.simCard.isReadOnly = true;
    bench.restart();
    refused(() => bench.skip(LOG, 99, BEFORE, ENTRY), FailureCode.readOnly);
    bench.simCard.isReadOnly = false;
    bench.simCard.corrupt(pathOf(1), 512 + 3 * 3072 + 10);
    bench.reboot();
    refused(() => bench.skip(LOG, 99, BEFORE, ENTRY), FailureCode.corrupt);
    assert.deepEqual(bench.entries(LOG).slice(0, 24), entries.slice(0, 24));
  });

  it("takes its turn among appends and trims, and lets other logs have theirs", () => {
    const bench = new StoreBench();
    fill(bench, 50);
    fill(bench, 50, OTHER);
    const { head } = bench.logs.head(LOG);
    const outcomes: unknown[] = [];
    const note = (error: unknown, value?: LogHead | number): void => {
      outcomes.push(error instanceof Refusal ? error.code : (value ?? error));
    };
    const next = randomBytes(99, 3000);
    bench.logs.append(LOG, head, next, note);
    bench.logs.skip(LOG, 51, BEFORE, ENTRY, note);
    bench.logs.skip(LOG, 60, BEFORE, ENTRY, note);
    bench.logs.append(LOG, HASH, next, note);
    bench.logs.trim(LOG, 61, HASH, note);
    bench.turns.run();
    const after = entryHash(nodeCrypto, HASH, next);
    assert.deepEqual(outcomes, [
      { count: 51, head: entryHash(nodeCrypto, head, next) },
      FailureCode.logConflict,
      { count: 61, head: HASH },
      { count: 62, head: after },
      FailureCode.logConflict,
    ]);
    outcomes.length = 0;
    bench.logs.skip(LOG, 70, BEFORE, ENTRY, note);
    bench.logs.trim(OTHER, 50, bench.logs.head(OTHER).head, note);
    bench.logs.trim(LOG, 71, HASH, note);
    bench.turns.run();
    assert.equal(outcomes.length, 3);
    assert.deepEqual(outcomes.slice(0, 1), [{ count: 71, head: HASH }]);
    assert.deepEqual(outcomes.slice(1).sort(), [2 * IN_SEGMENT, 70]);
    assert.deepEqual(segmentsOf(bench), [pathOf(4), pathOf(2, OTHER)].sort());
  });

  it("answers before it has removed what it gave up, and waits for that with the next segment", () => {
    const bench = new StoreBench();
    fill(bench, 10 * IN_SEGMENT);
    let segments: number | undefined;
    bench.logs.skip(LOG, 1000, BEFORE, ENTRY, () => {
      segments = segmentsOf(bench).length;
    });
    bench.turns.run(() => segments === undefined);
    assert.equal(segments, 11);
    let last: number | undefined;
    let head = HASH;
    for (let i = 0; i < IN_SEGMENT; i++) {
      const entry = randomBytes(i, 3000);
      bench.logs.append(LOG, head, entry, (error, answer) => {
        assert.ok(answer, String(error));
        last = answer.count;
      });
      head = entryHash(nodeCrypto, head, entry);
    }
    bench.turns.run();
    assert.equal(last, 1001 + IN_SEGMENT);
    assert.deepEqual(segmentsOf(bench), [pathOf(10), pathOf(11)]);
  });

  it("has nothing left of what it gave up below a second segment, whenever the power goes", function () {
    this.timeout(60_000);
    const whole = new StoreBench();
    fill(whole, 15 * IN_SEGMENT);
    let withTwo = 0;
    for (let write = 404; write <= 484; write += 2) {
      const bench = new StoreBench({ simCard: whole.simCard, seed: write });
      bench.simCard.cutAtWrite(write);
      untilCut(bench, () => {
        bench.skip(LOG, 1000, BEFORE, ENTRY, { isHasty: true });
        let head = HASH;
        for (let i = 0; i < 30; i++) {
          const entry = randomBytes(i, 3000);
          bench.logs.append(LOG, head, entry, () => undefined);
          head = entryHash(nodeCrypto, head, entry);
        }
        bench.turns.run();
      });
      if (segmentsOf(bench).includes(pathOf(16))) withTwo++;
      bench.restart();
      assert.equal(bench.trim(LOG, 0), 1000, `write ${String(write)}`);
      assert.equal(bench.entries(LOG, 1000).length, bench.logs.head(LOG).count - 1000);
      assert.ok(segmentsOf(bench).length <= 2);
    }
    assert.ok(withTwo > 5 && withTwo < 35, String(withTwo));
  });

  it("ends a reader of what it gives up with a refusal", () => {
    const bench = new StoreBench();
    const entries = fill(bench, 50);
    const buffer = new Uint8Array(4096);
    const reader = bench.logs.open(LOG, 3);
    const atEnd = bench.logs.open(LOG, 49);
    const other = fill(bench, 2, OTHER);
    const elsewhere = bench.logs.open(OTHER, 0);
    for (const at of [3, 4]) assert.deepEqual(buffer.slice(2, reader.read(buffer)), entries[at]);
    atEnd.read(buffer);
    bench.skip(LOG, 50 + 1, BEFORE, ENTRY);
    assert.deepEqual(segmentsOf(bench), [pathOf(3), pathOf(0, OTHER)].sort());
    refused(() => reader.next(), FailureCode.notFound);
    refused(() => reader.read(buffer), FailureCode.notFound);
    assert.equal(atEnd.next(), 0);
    assert.deepEqual(buffer.slice(2, elsewhere.read(buffer)), other[0]);
    for (const one of [reader, atEnd, elsewhere]) one.close();
  });

  it("refuses in order when the card fails, and goes on from the old log or the new one", function () {
    this.timeout(20_000);
    const whole = new StoreBench();
    const entries = fill(whole, 30);
    for (let operation = 1; ; operation++) {
      const bench = new StoreBench({ simCard: whole.simCard, seed: operation });
      const { operations } = bench.simCard;
      bench.simCard.failAtOperation(operation);
      const outcome = bench.skip(LOG, 99, BEFORE, ENTRY);
      if (bench.simCard.operations - operations < operation) {
        assert.ok(operation > 40, "skipping did less than it has to");
        break;
      }
      if (outcome instanceof Refusal) {
        assert.equal(outcome.code, FailureCode.cardFailed);
        assert.deepEqual(bench.entries(LOG), entries);
        if (operation % 2 === 0) {
          // What is acknowledged behind the old log stays, whatever the failed skip left on the card.
          const [more] = operation % 4 === 0 ? fill(bench, 1) : [randomBytes(9, 100)];
          assert.ok(more);
          if (operation % 4 !== 0) bench.append(LOG, bench.logs.head(LOG).head, more);
          bench.reboot();
          assert.deepEqual(bench.entries(LOG), [...entries, more]);
        }
        assert.deepEqual(bench.skip(LOG, 99, BEFORE, ENTRY), { count: 100, head: HASH });
      }
      checkSkipped(bench, 99);
      const more = fill(bench, IN_SEGMENT);
      bench.reboot();
      assert.deepEqual(bench.entries(LOG, 99), [ENTRY, ...more]);
      assert.deepEqual(segmentsOf(bench), [pathOf(2), pathOf(3)]);
    }
  });

  it("is done or not after a cut at any write, and what it gave up goes at the next boot", function () {
    this.timeout(60_000);
    const whole = new StoreBench();
    const entries = fill(whole, 50);
    const seen = new Set<number>();
    for (let write = 1; write <= 80; write++) {
      for (const how of ["boot", "unwritable", "readOnly"]) {
        const bench = new StoreBench({ simCard: whole.simCard, seed: write });
        let isAnswered = false;
        bench.simCard.cutAtWrite(write);
        untilCut(bench, () =>
          bench.skip(LOG, 99, BEFORE, ENTRY, {
            onAnswer: () => {
              isAnswered = true;
            },
          }),
        );
        if (how === "readOnly") bench.simCard.isReadOnly = true;
        const allow = how === "unwritable" ? refuseWrite(bench, write) : undefined;
        bench.restart();
        allow?.();
        assert.equal(bench.card.state, how === "readOnly" ? CardState.readOnly : CardState.ok);
        const { count } = bench.logs.head(LOG);
        seen.add(count);
        if (count === 50) {
          assert.ok(!isAnswered, `write ${String(write)}: what was acknowledged is gone`);
          assert.deepEqual(bench.entries(LOG), entries);
        } else {
          checkSkipped(bench, 99);
          if (how === "boot") assert.deepEqual(segmentsOf(bench), [pathOf(3)]);
        }
        if (how === "readOnly") continue;
        fill(bench, 30);
        bench.reboot();
        assert.equal(bench.logs.head(LOG).count, count + 30);
        assert.equal(bench.entries(LOG, count === 50 ? 0 : 99).length, count === 50 ? 80 : 31);
        if (count !== 50) assert.deepEqual(segmentsOf(bench), [pathOf(3), pathOf(4)]);
      }
    }
    assert.deepEqual([...seen].sort(), [100, 50]);
  });

  it("leaves a log alone whose segments do not go on from one another because of damage", () => {
    const bench = new StoreBench();
    const entries = fill(bench, 70);
    // The tail of segment 1 has rotted, and segment 2 is lost: nothing was given up for segment 3.
    bench.simCard.corrupt(pathOf(1), 512 + 20 * 3072 + 10);
    bench.storage.remove(pathOf(2));
    bench.reboot();
    assert.deepEqual(segmentsOf(bench), [pathOf(0), pathOf(1), pathOf(3)]);
    assert.equal(bench.logs.head(LOG).count, 70);
    assert.match(refused(() => bench.entries(LOG), FailureCode.corrupt).message, /entry 41 /);
    assert.deepEqual(bench.entries(LOG, 63), entries.slice(63));
  });

  it("removes nothing when the header of the segment that it made has gone bad", () => {
    const whole = new StoreBench();
    fill(whole, 50);
    const bench = new StoreBench({ simCard: whole.simCard });
    bench.skip(LOG, 99, BEFORE, ENTRY, { isHasty: true });
    bench.turns.drop();
    bench.simCard.cutPower();
    bench.simCard.powerOn();
    bench.simCard.corrupt(pathOf(3), 30);
    bench.restart();
    refused(() => bench.logs.head(LOG), FailureCode.corrupt);
    refused(() => bench.skip(LOG, 99, BEFORE, ENTRY), FailureCode.corrupt);
    const left = segmentsOf(bench);
    assert.ok(left.includes(pathOf(3)) && left.length >= 3, left.join("\n"));
  });

  it("keeps the log corrupt when the only entry that is left of it has rotted", () => {
    const bench = new StoreBench();
    fill(bench, 50);
    bench.skip(LOG, 99, BEFORE, ENTRY);
    bench.simCard.corrupt(pathOf(3), 512 + 200);
    bench.reboot();
    refused(() => bench.logs.head(LOG), FailureCode.corrupt);
    assert.deepEqual(segmentsOf(bench), [pathOf(3)]);
  });
});

/** The first write to a segment, for odd seeds to the new one, fails; until what it returns is called. */
function refuseWrite(bench: StoreBench, seed: number): () => void {
  const openFile = bench.simCard.openFile.bind(bench.simCard);
  let isOver = false;
  bench.simCard.openFile = (path, mode) => {
    const file = openFile(path, mode);
    if (path.startsWith("logs/") && mode === "update" && (seed % 2 === 0 || path === pathOf(3))) {
      const write = file.write.bind(file);
      file.write = (bytes, at) => {
        if (isOver) write(bytes, at);
        else {
          isOver = true;
          throw new StorageError("io", "the chain of clusters ends before the file does");
        }
      };
    }
    return file;
  };
  return () => {
    isOver = true;
  };
}
