// SPDX-License-Identifier: MIT
/** A device on the XS engine whose card takes no writes any more: it says so, gives back what it has, and recovers. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";

import { CardState } from "../firmware/protocol/verbs";
import { Refusal } from "../host-tools/refusal";
import type { DeviceClient } from "../host-tools/remote/device-client";
import type { Board } from "./board";
import { BUILD_MS, BoardBench, passUntil, until } from "./board-bench";

describe("a card at the end of its life", function () {
  this.timeout(30_000);
  let bench: BoardBench;

  before(async function () {
    this.timeout(BUILD_MS);
    bench = await BoardBench.start();
  });
  after(() => bench.stop());
  afterEach(() => bench.clear());

  async function stored(client: DeviceClient): Promise<{ id: Uint8Array; blob: Buffer }> {
    const blob = randomBytes(100_000);
    const id = createHash("sha256").update(blob).digest();
    await client.put(id, [blob]);
    return { id, blob };
  }

  async function requireWorn(board: Board, client: DeviceClient): Promise<void> {
    await assert.rejects(
      stored(client),
      (error) => error instanceof Refusal && error.kind === "cardFailed" && error.hint !== undefined,
    );
    await until("the reopening", () =>
      board.logLines.some((line) => line.includes("card: ready, read-only")),
    );
    assert.equal((await client.status()).card, CardState.worn);
    const { lines } = await client.deviceLog(0);
    assert.ok(lines.some(({ text }) => text.startsWith("card: writing to it fails: ")));
    // By now it knows, and says what it is.
    await assert.rejects(stored(client), /takes no more writes, as at the end of its life/);
  }

  it("is noticed by the first write, and can still be read", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    const { id, blob } = await stored(client);
    board.card.isWorn = true;
    await requireWorn(board, client);
    assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
    assert.equal(board.exit, undefined);
  });

  it("is noticed at the start, and when it is in the middle of an upload", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    const { id, blob } = await stored(client);
    const { writes } = board.card;
    const put = stored(client);
    await until("the upload", () => board.card.writes > writes + 5);
    board.card.isWorn = true;
    await put.catch(() => undefined);
    await board.reset();
    await until("online again", () => board.isOnline);
    const again = await bench.client();
    assert.equal((await again.status()).card, CardState.worn);
    assert.ok(Buffer.from(await again.get(id, 0, blob.length)).equals(blob));
  });

  it("is given another chance every ten minutes, and is well again when it takes a write", async () => {
    const board = bench.board({ virtualTime: true });
    await board.boot();
    await passUntil(board, () => board.isOnline);
    board.card.isWorn = true;
    await board.reset();
    await passUntil(board, () => board.isOnline);
    const state = async (): Promise<number> => (await (await bench.client()).status()).card;
    assert.equal(await state(), CardState.worn);
    const { writes } = board.card;
    await board.advance(10 * 60_000);
    assert.ok(board.card.writes > writes, "nothing was tried");
    assert.equal(await state(), CardState.worn);
    board.card.isWorn = false;
    await board.advance(10 * 60_000);
    await until("ready", () => board.logLines.at(-1) === "info card: ready");
    assert.equal(await state(), CardState.ok);
  });

  it("makes room for another card", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    const { id } = await stored(client);
    board.card.isWorn = true;
    await requireWorn(board, client);
    board.card.eject();
    await assert.rejects(
      client.get(id, 0, 100),
      (error) => error instanceof Refusal && error.kind === "cardFailed",
    );
    assert.equal((await client.status()).card, CardState.none);
    board.card.isWorn = false;
    board.card.insert();
    await until("ready", () => board.logLines.at(-1) === "info card: ready");
    assert.equal((await client.status()).card, CardState.ok);
  });

  it("is not one for a single write that failed", async () => {
    const board = bench.board();
    await board.boot();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    board.card.failAtOperation(3);
    await stored(client).catch(() => undefined);
    const { id, blob } = await stored(client);
    assert.equal((await client.status()).card, CardState.ok);
    assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
  });
});
