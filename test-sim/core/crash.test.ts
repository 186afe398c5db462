// SPDX-License-Identifier: MIT
/**
 * The power goes at every single write of a run that does everything the stores can do; after the reboot, and after
 * another cut during that reboot, everything acknowledged is there and nothing is torn. A failure names the seed and the
 * write: `COFFER_CRASH=seed:write` runs that one alone, and says where it failed.
 */
import type { SimCard } from "../card";
import { SeededRandom } from "../seeded-random";
import { CrashRun } from "./crash-model";
import { SMALL_LIMITS, StoreBench } from "./store-bench";

const SEEDS = Number(process.env.COFFER_CRASH_SEEDS ?? 2);
const only = process.env.COFFER_CRASH?.split(":").map(Number);
const CARD = { capacityBytes: 4 * 2 ** 20, clusterBytes: 4096 };
/** 266 KiB of it are folders. */
const SMALL_CARD = { capacityBytes: 512 * 1024, clusterBytes: 1024 };

/** Blobs stored, resumed, refused, deleted and stored again; logs over a segment's end. */
function everything(run: CrashRun): void {
  run.put(1, 9000);
  run.append(1, 50, 300);
  run.put(2, 40_000, { stopAt: 30_000 });
  run.put(3, 1500);
  run.put(4, 6000, { wrong: true });
  run.put(2, 40_000);
  run.append(1, 51, 3072);
  run.delete(1, 9000);
  run.append(2, 52, 1);
  run.put(5, 0);
  run.put(6, 25_000, { stopAt: 20_000 });
  run.delete(6, 25_000);
  run.put(1, 9000);
  for (let i = 0; i < 20; i++) run.append(1, 60 + i, 3000);
  run.put(7, 30_000, { stopAt: 25_000 });
}

/** A card that is full of partial uploads and stored blobs: evictions in between. */
function fullCard(run: CrashRun): void {
  run.put(11, 40_000);
  run.put(12, 90_000, { stopAt: 5000 });
  run.put(13, 50_000, { stopAt: 20_000 });
  run.put(14, 80_000);
  run.append(3, 70, 500);
  run.delete(11, 40_000);
  run.put(15, 60_000, { stopAt: 9000 });
  run.put(16, 4000);
}

/** Two logs of four and two segments, 21 entries each; the last of the first log is full. */
function longLogs(run: CrashRun): void {
  for (let i = 0; i < 84; i++) run.append(1, 100 + i, 3000);
  for (let i = 0; i < 24; i++) run.append(2, 200 + i, 3000);
}

/** Logs that forget their beginnings, with other work in between on the room that comes free. */
function trimming(run: CrashRun): void {
  run.trim(1, 45);
  run.put(1, 4000);
  run.append(1, 190, 3000);
  run.trim(2, 24);
  run.delete(1, 4000);
  run.trim(1, 84);
  run.append(2, 191, 10);
  run.put(2, 9000, { stopAt: 5000 });
  run.trim(1, 85);
}

/** Logs that begin anew: a long one, one that is not there, one that was trimmed, one that began anew before. */
function skipping(run: CrashRun): void {
  run.skip(1, 100, 300, 3000);
  run.put(1, 4000);
  run.append(1, 301, 3000);
  run.skip(3, 7, 302, 10);
  run.append(3, 303, 700);
  run.trim(2, 24);
  run.skip(2, 25, 304, 3072);
  run.delete(1, 4000);
  run.skip(1, 103, 305, 100);
  run.put(2, 9000, { stopAt: 5000 });
  for (let i = 0; i < 21; i++) run.append(2, 310 + i, 3000);
  // Into a new segment while what was given up is still being removed.
  run.skip(2, 60, 340, 3000, { isHasty: true });
  run.appendAll(
    2,
    Array.from({ length: 22 }, (_, i) => 350 + i),
    3000,
  );
  run.trim(2, 82);
}

function cutEverywhere(
  name: string,
  script: (run: CrashRun) => void,
  { card = CARD, prepare }: { card?: typeof CARD; prepare?: (run: CrashRun) => void } = {},
): void {
  const isEvicting = card === SMALL_CARD;
  it(name, function () {
    this.timeout(300_000);
    const prepared = new CrashRun(new StoreBench(card));
    prepare?.(prepared);
    const start = prepared.bench.simCard;
    for (let seed = 1; seed <= SEEDS; seed++) {
      if (only && only[0] !== seed) continue;
      const whole = new CrashRun(benchOf(start, card, seed), prepared);
      const before = whole.bench.simCard.writes;
      whole.script(script);
      whole.finish(isEvicting);
      const writes = whole.bench.simCard.writes - before;
      for (let write = 1; write <= writes; write++) {
        if (only && only[1] !== write) continue;
        replayable(name, seed, write, () => {
          const run = new CrashRun(benchOf(start, card, seed * 100_000 + write), prepared);
          cutOnce(run, script, { seed, write, isEvicting });
        });
      }
    }
  });
}

function benchOf(simCard: SimCard, card: typeof CARD, seed: number): StoreBench {
  return new StoreBench({ ...card, simCard, seed, limits: { ...SMALL_LIMITS, writeBytes: 2048 } });
}

function cutOnce(
  run: CrashRun,
  script: (run: CrashRun) => void,
  { seed, write, isEvicting }: { seed: number; write: number; isEvicting: boolean },
): void {
  const { bench } = run;
  bench.simCard.cutAtWrite(write);
  run.script(script);
  const random = new SeededRandom(seed * 7919 + write);
  // The reboot itself is cut, up to twice, before one is let through.
  for (let cuts = random.below(3); cuts > 0; cuts--) {
    bench.turns.drop();
    bench.simCard.cutPower();
    bench.simCard.powerOn();
    bench.simCard.cutAtWrite(1 + random.below(6));
    bench.restart();
  }
  bench.reboot();
  run.check();
  run.finish(isEvicting);
  bench.reboot();
  run.check();
}

function replayable(name: string, seed: number, write: number, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw new Error(`${name}: COFFER_CRASH=${String(seed)}:${String(write)}: ${String(error)}`, {
      cause: error,
    });
  }
}

describe("a power cut at every write", () => {
  // Each torn sector is an exception that the firmware catches, and a third of the time here went into the stacks of those.
  const { stackTraceLimit } = Error;
  before(() => {
    if (!only) Error.stackTraceLimit = 0;
  });
  after(() => {
    Error.stackTraceLimit = stackTraceLimit;
  });

  cutEverywhere("of storing, resuming, deleting and appending", everything);
  cutEverywhere("of a full card that evicts", fullCard, { card: SMALL_CARD });
  cutEverywhere("of trimming logs", trimming, { prepare: longLogs });
  cutEverywhere("of skipping in logs", skipping, { prepare: longLogs });

  it("of a card being initialised leaves one that can be initialised", function () {
    this.timeout(300_000);
    const first = new StoreBench(CARD);
    const writes = first.simCard.writes;
    for (let write = 1; write <= writes; write++) {
      if (write > 40 && write < writes - 40 && write % 16 !== 0) continue;
      replayable("initialise", 1, write, () => {
        const bench = new StoreBench({ ...CARD, seed: write, cutAtWrite: write });
        bench.reboot();
        const run = new CrashRun(bench);
        run.put(1, 3000);
        run.check();
      });
    }
  });
});
