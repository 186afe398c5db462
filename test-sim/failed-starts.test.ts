// SPDX-License-Identifier: MIT
/** A device on the XS engine whose firmware fails: what it keeps, what it tells, and when it goes into safe mode. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { BOARD_LIMITS } from "../firmware/core/device-config";
import { FAILED_STARTS } from "../firmware/core/start-record";
import { ResetCause } from "../firmware/protocol/verbs";
import { Refusal } from "../host-tools/refusal";
import type { Board, BoardOptions } from "./board";
import { BUILD_MS, BoardBench, SECRET, passUntil, until } from "./board-bench";
import type { CrashConfig } from "./crash-entry";
import { bundleFirmware } from "./firmware-bundle";
import { VirtualTime } from "./sim-time";
import type { XsExitReason } from "./xs-exit";

describe("starts that fail", function () {
  this.timeout(60_000);
  let bench: BoardBench;
  let firmware: string;

  before(async function () {
    this.timeout(BUILD_MS);
    bench = await BoardBench.start();
    firmware = await bundleFirmware(fileURLToPath(new URL("crash-entry.ts", import.meta.url)));
  });
  after(() => bench.stop());
  afterEach(() => bench.clear());

  function newBoard(crash: CrashConfig["crash"], changes: Partial<BoardOptions> = {}) {
    const config = {
      name: "cam1",
      firmwareVersion: "0.1.0",
      relay: { host: "127.0.0.1", port: bench.relay.port },
      pairings: [Buffer.from(SECRET).toString("hex")],
      limits: BOARD_LIMITS,
      crash,
    };
    return { board: bench.board({ firmware, config, ...changes }), config };
  }

  function endOf(board: Board): XsExitReason | undefined {
    return board.exit?.reason;
  }

  /** A start that ends by itself; how. */
  async function failOnce(board: Board): Promise<XsExitReason | undefined> {
    await board.boot().catch(() => undefined);
    if (board.time instanceof VirtualTime) await board.advance(1000).catch(() => undefined);
    await until("the failure", () => board.exit !== undefined);
    return endOf(board);
  }

  for (const [fault, reason, text] of [
    ["throw", "unhandledException", /^TypeError: a fault for tests at /],
    ["reject", "unhandledRejection", /^TypeError: a fault for tests at /],
    ["memory", "outOfMemory", /^$|memory/],
  ] as const)
    it(`remembers in flash how it ended: ${fault}`, async () => {
      const { board, config } = newBoard({ atEvent: 3, fault });
      assert.equal(await failOnce(board), reason);
      config.crash = undefined;
      await board.boot();
      await until("online", () => board.isOnline);
      const client = await bench.client();
      const status = await client.status();
      assert.deepEqual([status.bootCount, status.resetReason], [2, ResetCause.exception]);
      const health = await client.health();
      assert.deepEqual([health?.exceptions, health?.isSafe, health?.failedStarts], [1, false, 1]);
      assert.match(health?.exception ?? "", text);
      const { lines } = await client.deviceLog(0);
      assert.match(lines[1]?.text ?? "", /ended (with|by itself)/);
    });

  it("is reset by its watchdog when its loop turns no more, and says so", async () => {
    const { board, config } = newBoard({ atEvent: 5, fault: "loop" }, { watchdogInstructions: 50_000_000 });
    assert.equal(await failOnce(board), "watchdog");
    config.crash = undefined;
    await board.boot();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    assert.equal((await client.status()).resetReason, ResetCause.watchdog);
    assert.equal((await client.health())?.watchdogs, 1);
  });

  it("is reset by its watchdog when its timers fire no more", async () => {
    const { board } = newBoard({ atEvent: 1, fault: "stall" }, { virtualTime: true });
    await board.boot();
    await board.advance(29_000);
    assert.equal(endOf(board), undefined);
    await board.advance(2000);
    assert.equal(endOf(board), "watchdog");
  });

  it("is not, however long it runs, when all is well", async () => {
    const { board } = newBoard(undefined, { virtualTime: true });
    await board.boot();
    await board.advance(30 * 60_000);
    assert.equal(board.exit, undefined);
  });

  it("starts in safe mode after five failures in a row, tells why, and leaves it again", async () => {
    const { board, config } = newBoard({ atEvent: 2, fault: "throw" }, { virtualTime: true });
    for (let i = 0; i < FAILED_STARTS; i++) assert.equal(await failOnce(board), "unhandledException");
    const { operations } = board.card;
    // Safe mode does less, and does not come to what fails.
    config.crash = undefined;
    await board.boot();
    await passUntil(board, () => board.isOnline);
    const client = await bench.client();
    const health = await client.health();
    assert.deepEqual(
      [health?.isSafe, health?.cause, health?.failedStarts, health?.exceptions],
      [true, ResetCause.exception, 5, 5],
    );
    await assert.rejects(
      client.logList(),
      (error) => error instanceof Refusal && error.kind === "deviceInSafeMode" && error.hint !== undefined,
    );
    assert.equal(board.card.operations, operations);
    await board.advance(30 * 60_000);
    await until("a start as usual", () => board.logLines.some((line) => /start 7 \(software\)/.test(line)));
    await passUntil(board, () => board.card.operations > operations);
    assert.ok(board.card.operations > operations);
    assert.ok(board.logLines.some((line) => line.includes("safe mode has held")));
  });

  it("leaves safe mode when it is switched off and on", async () => {
    const { board, config } = newBoard({ atEvent: 2, fault: "throw" });
    for (let i = 0; i < FAILED_STARTS; i++) await failOnce(board);
    config.crash = undefined;
    await board.boot();
    assert.match(board.logLines.at(-1) ?? "", /safe mode|uplink/);
    await board.cutPower();
    await board.boot();
    await until("online", () => board.isOnline);
    assert.equal((await (await bench.client()).health())?.isSafe, false);
  });
});
