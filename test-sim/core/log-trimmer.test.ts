// SPDX-License-Identifier: MIT
/** What trimming a log promises while the power stays on, with readers, failures and other logs around it. */
import assert from "node:assert/strict";
import { StorageError } from "../../firmware/core/io";
import { Refusal } from "../../firmware/core/refusal";
import { nodeCrypto } from "../../firmware/platform/node/node-crypto";
import { NO_ENTRY, entryHash } from "../../firmware/protocol/log-chain";
import { CardState, FailureCode } from "../../firmware/protocol/verbs";
import type { LogHead } from "../../firmware/protocol/verbs";
import { IN_SEGMENT, LOG, OTHER, fill, pathOf, refused, segmentsOf } from "./log-files";
import { StoreBench, randomBytes } from "./store-bench";

describe("trimming a log", () => {
  it("forgets whole segments, keeps count and head, and reads on from the first entry left", () => {
    const bench = new StoreBench();
    const entries = fill(bench, 70);
    const head = bench.logs.head(LOG);
    const listed = bench.logs.list(NO_ENTRY);
    for (const [before, first] of [
      [0, 0],
      [IN_SEGMENT - 1, 0],
      [IN_SEGMENT, IN_SEGMENT],
      [5, IN_SEGMENT],
      [3 * IN_SEGMENT - 1, 2 * IN_SEGMENT],
      [70, 3 * IN_SEGMENT],
    ] as const) {
      assert.equal(bench.trim(LOG, before), first);
      for (let boots = 0; boots < 2; boots++) {
        assert.deepEqual(bench.logs.head(LOG), head);
        assert.deepEqual(bench.logs.list(NO_ENTRY), listed);
        assert.equal(bench.trim(LOG, 0), first);
        for (const from of [first, first + 2, 69]) {
          assert.deepEqual(bench.entries(LOG, from), entries.slice(from));
        }
        if (first > 0) {
          const { message } = refused(() => bench.entries(LOG, first - 1), FailureCode.notFound);
          assert.match(message, new RegExp(`below ${String(first)} .*trimmed`));
        }
        bench.reboot();
      }
    }
    assert.deepEqual(segmentsOf(bench), [pathOf(3)]);
    const more = fill(bench, 40);
    bench.reboot();
    assert.deepEqual(bench.entries(LOG, 3 * IN_SEGMENT), [...entries.slice(3 * IN_SEGMENT), ...more]);
  });

  it("gives back the room", () => {
    const bench = new StoreBench();
    fill(bench, 70);
    const { freeBytes } = bench.storage.space();
    bench.trim(LOG, 70);
    assert.equal(bench.storage.space().freeBytes - freeBytes, 3 * 64 * 1024);
  });

  it("refuses what does not fit the log, and removes nothing", () => {
    const bench = new StoreBench();
    fill(bench, 30);
    const { head } = bench.logs.head(LOG);
    refused(() => bench.trim(LOG, 31), FailureCode.badRequest);
    refused(() => bench.trim(LOG, 25, NO_ENTRY), FailureCode.logConflict);
    refused(() => bench.trim(LOG, 31, NO_ENTRY), FailureCode.logConflict);
    refused(() => bench.trim(OTHER, 0, NO_ENTRY), FailureCode.notFound);
    refused(() => bench.trim(OTHER, 0, head), FailureCode.notFound);
    assert.equal(segmentsOf(bench).length, 2);
  });

  it("writes nothing to tell where a log begins", () => {
    const bench = new StoreBench();
    fill(bench, 50);
    bench.trim(LOG, 30);
    const { writes } = bench.simCard;
    assert.equal(bench.trim(LOG, 0), IN_SEGMENT);
    assert.equal(bench.trim(LOG, 30), IN_SEGMENT);
    assert.equal(bench.simCard.writes, writes);
    bench.simCard.isReadOnly = true;
    bench.restart();
    assert.equal(bench.trim(LOG, 0), IN_SEGMENT);
    refused(() => bench.trim(LOG, 50), FailureCode.readOnly);
  });

  it("takes its turn among the appends to the log, and among other logs", () => {
    const bench = new StoreBench();
    fill(bench, 50);
    fill(bench, 50, OTHER);
    const { head } = bench.logs.head(LOG);
    const entry = randomBytes(99, 3000);
    const outcomes: unknown[] = [];
    const note = (error: unknown, value?: LogHead | number): void => {
      outcomes.push(error instanceof Refusal ? error.code : (value ?? error));
    };
    const after = { count: 51, head: entryHash(nodeCrypto, head, entry) };
    bench.logs.trim(LOG, 22, head, note);
    bench.logs.append(LOG, head, entry, note);
    bench.logs.trim(LOG, 50, head, note);
    bench.logs.trim(LOG, 51, after.head, note);
    bench.turns.run();
    assert.deepEqual(outcomes, [IN_SEGMENT, after, FailureCode.logConflict, 2 * IN_SEGMENT]);
    outcomes.length = 0;
    bench.logs.trim(LOG, 0, after.head, note);
    bench.logs.trim(OTHER, 50, head, note);
    bench.logs.trim(LOG, 51, after.head, note);
    bench.turns.run();
    assert.deepEqual(outcomes, [2 * IN_SEGMENT, 2 * IN_SEGMENT, 2 * IN_SEGMENT]);
    assert.deepEqual(segmentsOf(bench), [pathOf(2), pathOf(2, OTHER)].sort());
  });

  it("leaves what a reader has open, and goes on when it is done", () => {
    const bench = new StoreBench();
    const entries = fill(bench, 70);
    bench.trim(LOG, IN_SEGMENT);
    const reader = bench.logs.open(LOG, IN_SEGMENT + 3);
    const buffer = new Uint8Array(4096);
    const read = (): Uint8Array => buffer.slice(2, reader.read(buffer));
    assert.equal(bench.trim(LOG, 70), IN_SEGMENT);
    for (let i = IN_SEGMENT + 3; i < 2 * IN_SEGMENT + 1; i++) assert.deepEqual(read(), entries[i]);
    assert.equal(bench.trim(LOG, 70), 2 * IN_SEGMENT);
    assert.deepEqual(read(), entries[2 * IN_SEGMENT + 1]);
    reader.close();
    reader.close();
    assert.equal(bench.trim(LOG, 70), 3 * IN_SEGMENT);
  });

  it("opens no segment for a reader whose removal has begun", () => {
    const bench = new StoreBench();
    const entries = fill(bench, 50);
    let first: number | undefined;
    bench.logs.trim(LOG, 50, bench.logs.head(LOG).head, (_, answer) => {
      first = answer;
    });
    let tries = 0;
    while (first === undefined) {
      bench.turns.run(() => ++tries % 2 === 0);
      let reads = 0;
      for (const from of [0, IN_SEGMENT, 2 * IN_SEGMENT]) {
        try {
          assert.deepEqual(bench.entries(LOG, from), entries.slice(from));
          reads++;
        } catch (error) {
          refused(() => {
            throw error;
          }, FailureCode.notFound);
        }
      }
      assert.ok(reads > 0);
    }
    assert.equal(first, 2 * IN_SEGMENT);
  });

  it("removes a bounded number of segments at once, and the rest when it is asked again", function () {
    this.timeout(20_000);
    const bench = new StoreBench();
    fill(bench, 20 * IN_SEGMENT);
    for (const segments of [16, 19, 19])
      assert.equal(bench.trim(LOG, 20 * IN_SEGMENT), segments * IN_SEGMENT);
  });

  it("has erased the segment durably before the room is given out", () => {
    const bench = new StoreBench();
    fill(bench, 50);
    const remove = bench.simCard.remove.bind(bench.simCard);
    const removed: string[] = [];
    bench.simCard.remove = (path) => {
      removed.push(path);
      const bytes = new Uint8Array(64 * 1024);
      assert.equal(bench.simCard.copy().openFile(path, "read").read(bytes, 0), bytes.length);
      assert.ok(bytes.every((byte) => byte === 0));
      remove(path);
    };
    bench.trim(LOG, 50);
    assert.deepEqual(removed, [pathOf(0), pathOf(1)]);
  });

  it("refuses in order when the card fails, and catches up afterwards", () => {
    for (let operation = 1; ; operation++) {
      const bench = new StoreBench();
      const entries = fill(bench, 50);
      fill(bench, 30, OTHER);
      const { operations } = bench.simCard;
      bench.simCard.failAtOperation(operation);
      const outcome = bench.trim(LOG, 50);
      if (bench.simCard.operations - operations < operation) {
        assert.ok(operation > 20, "trimming did less than it has to");
        break;
      }
      // Whatever failed: what was not to be forgotten is there, with and without a boot.
      assert.deepEqual(bench.entries(LOG, 2 * IN_SEGMENT), entries.slice(2 * IN_SEGMENT));
      if (operation % 2 === 0) bench.reboot();
      assert.deepEqual(bench.entries(LOG, 2 * IN_SEGMENT), entries.slice(2 * IN_SEGMENT));
      assert.equal(bench.trim(OTHER, 30), IN_SEGMENT);
      assert.equal(bench.trim(LOG, 50), 2 * IN_SEGMENT);
      assert.deepEqual(segmentsOf(bench), [pathOf(2), pathOf(1, OTHER)].sort());
      if (outcome instanceof Refusal) {
        assert.ok([FailureCode.cardFailed, FailureCode.corrupt].some((code) => code === outcome.code));
      }
    }
  });

  it("is brought to its end by the next boot, also when the segment cannot be written any more", () => {
    const whole = new StoreBench();
    const entries = fill(whole, 50);
    for (let write = 1; write <= 60; write++) {
      const bench = new StoreBench({ simCard: whole.simCard, seed: write });
      bench.simCard.cutAtWrite(write);
      try {
        bench.trim(LOG, 50);
      } catch (error) {
        if (bench.simCard.isPowered) throw error;
      }
      bench.turns.drop();
      bench.simCard.cutPower();
      bench.simCard.powerOn();
      const openFile = bench.simCard.openFile.bind(bench.simCard);
      bench.simCard.openFile = (path, mode) => {
        const file = openFile(path, mode);
        if (path.startsWith("logs/") && mode === "update") {
          file.write = () => {
            throw new StorageError("io", "the chain of clusters ends before the file does");
          };
        }
        return file;
      };
      bench.restart();
      assert.equal(bench.card.state, CardState.ok, bench.lines.join("\n"));
      const first = bench.trim(LOG, 0);
      assert.ok(typeof first === "number", String(first));
      assert.equal(segmentsOf(bench)[0], pathOf(first / IN_SEGMENT));
      assert.deepEqual(bench.entries(LOG, first), entries.slice(first));
    }
  });

  it("is over for a card that became read-only in the middle of it", () => {
    const whole = new StoreBench();
    const entries = fill(whole, 50);
    const start = whole.simCard;
    for (let write = 1; write <= 60; write++) {
      const bench = new StoreBench({ simCard: start, seed: write });
      bench.simCard.cutAtWrite(write);
      try {
        bench.trim(LOG, 50);
      } catch (error) {
        if (bench.simCard.isPowered) throw error;
      }
      bench.turns.drop();
      bench.simCard.cutPower();
      bench.simCard.powerOn();
      bench.simCard.isReadOnly = true;
      bench.restart();
      assert.equal(bench.card.state, CardState.readOnly);
      const first = bench.trim(LOG, 0);
      assert.ok(typeof first === "number", String(first));
      assert.deepEqual(bench.entries(LOG, first), entries.slice(first));
    }
  });

  it("does not take damage to all that is left for a segment that was never confirmed", () => {
    const bench = new StoreBench();
    fill(bench, IN_SEGMENT + 1);
    bench.trim(LOG, IN_SEGMENT + 1);
    bench.simCard.corrupt(pathOf(1), 512 + 100);
    bench.reboot();
    refused(() => bench.logs.head(LOG), FailureCode.corrupt);
    assert.deepEqual(segmentsOf(bench), [pathOf(1)]);
  });

  it("removes a damaged segment with the others, and says when it is the first one left", () => {
    const bench = new StoreBench();
    const entries = fill(bench, 70);
    bench.simCard.corrupt(pathOf(1), 30);
    assert.equal(bench.trim(LOG, 0), 0);
    // Nobody knows where the damaged one begins: with it goes only what lies below a whole one.
    assert.equal(bench.trim(LOG, 2 * IN_SEGMENT - 1), 0);
    assert.equal(bench.trim(LOG, 2 * IN_SEGMENT), 2 * IN_SEGMENT);
    assert.deepEqual(bench.entries(LOG, 2 * IN_SEGMENT), entries.slice(2 * IN_SEGMENT));
    bench.simCard.corrupt(pathOf(2), 30);
    refused(() => bench.trim(LOG, 0), FailureCode.corrupt);
    assert.deepEqual(bench.entries(LOG, 3 * IN_SEGMENT), entries.slice(3 * IN_SEGMENT));
  });
});
