// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Board } from "../board";
import { bundleFirmware } from "../firmware-bundle";
import { manifestCreation } from "../xs-creation";
import { loadProtocolVectors } from "./load-vectors";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
/** Fewer than on Node: the engine interprets, and the board meters every instruction. */
const FUZZ_ROUNDS = 20;

describe(`protocol on the XS engine (FUZZ_SEED=${String(seed)})`, () => {
  it("passes every check of vectors, truncations, flipped bits and fuzz", async function () {
    this.timeout(120_000);
    const firmware = await bundleFirmware(fileURLToPath(new URL("xs-entry.ts", import.meta.url)));
    // The vectors are all in memory at once, which no device ever does: the heap is not what is judged here.
    const creation = {
      ...(await manifestCreation()),
      static: 0,
      chunk: { initial: 16 * 1024 * 1024, incremental: 0 },
      heap: { initial: 500_000, incremental: 0 },
      stack: 4096,
    };
    let board: Board | undefined;
    const verdict = await new Promise<string>((resolve, reject) => {
      board = new Board({
        name: "checks",
        identity: { key: "", cert: "", ca: "" },
        firmware,
        config: { vectors: loadProtocolVectors(), options: { seed, fuzzRounds: FUZZ_ROUNDS } },
        creation,
        onLog: (_, line) => {
          resolve(line);
        },
        onExit: (exit) => {
          resolve(`${exit.reason}: ${exit.text}`);
        },
      });
      board.boot().catch(reject);
    });
    await board?.cutPower();
    const [, checks = "0"] = /^(\d+) checks, 0 failed/.exec(verdict) ?? [];
    assert.ok(Number(checks) > 250, verdict);
  });
});
