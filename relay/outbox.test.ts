// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { MAX_CONTROL_BYTES } from "./limits";
import { type DataAccount, Outbox, OutboxPool } from "./outbox";
import { TestSocket } from "./test-socket";

async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe("relay: outbox", () => {
  function make(): { socket: TestSocket; pool: OutboxPool; outbox: Outbox } {
    const socket = new TestSocket();
    const pool = new OutboxPool();
    return { socket, pool, outbox: new Outbox({ socket, pool, onFlush: () => undefined }) };
  }

  function newAccount(): DataAccount {
    return {
      queuedBytes: 0,
      sent(bytes) {
        this.queuedBytes -= bytes;
      },
    };
  }

  it("sends everything in order, and what came together together", async () => {
    const { socket, outbox } = make();
    const account = newAccount();
    const sizes = [1, 70_000, 3, 65_536, 9, 200_000];
    const pieces = sizes.map((size, i) => Buffer.alloc(size, i + 1));
    for (const piece of pieces) outbox.push(piece, 0, piece.length, account);
    await settled();
    assert.deepEqual(Buffer.concat(socket.sent), Buffer.concat(pieces));
    assert.ok(socket.sent.length <= 7);
    assert.equal(account.queuedBytes + outbox.queuedBytes, 0);
  });

  it("hands a slow socket little, and keeps and counts the rest", async () => {
    const { socket, pool, outbox } = make();
    socket.isReading = false;
    const account = newAccount();
    for (let i = 0; i < 1000; i++) outbox.push(Buffer.alloc(1000), 0, 1000, account);
    await settled();
    const handed = socket.writableLength;
    assert.ok(handed > 0 && handed <= 66_560, String(handed));
    assert.equal(account.queuedBytes, 1_000_000 - handed);
    assert.ok(outbox.queuedBytes >= account.queuedBytes && outbox.queuedBytes < 1_000_000);
    assert.equal(pool.queuedBytes, outbox.queuedBytes);
    outbox.close();
    assert.equal(pool.queuedBytes, 0);
  });

  it("charges for control and data apart, and gives all of it back", async () => {
    const { socket, pool, outbox } = make();
    socket.isReading = false;
    const accounts = [newAccount(), newAccount()];
    for (let i = 0; i < 5000; i++)
      outbox.push(Buffer.alloc(50), 0, 50, i % 3 === 2 ? undefined : accounts[i % 3]);
    await settled();
    assert.ok(outbox.controlBytes > 0 && outbox.controlBytes < MAX_CONTROL_BYTES);
    socket.readOn();
    for (let i = 0; i < 20; i++) await settled();
    assert.deepEqual([outbox.controlBytes, outbox.queuedBytes, pool.queuedBytes], [0, 0, 0]);
    assert.deepEqual(
      accounts.map(({ queuedBytes }) => queuedBytes),
      [0, 0],
    );
  });

  it("sends what it has before it ends the socket, and takes nothing more", async () => {
    const { socket, outbox } = make();
    let isFinished = false;
    socket.on("finish", () => {
      isFinished = true;
    });
    outbox.push(Buffer.from("last"), 0, 4);
    outbox.end();
    outbox.push(Buffer.from("late"), 0, 4);
    await settled();
    assert.equal(Buffer.concat(socket.sent).toString(), "last");
    assert.equal(isFinished, true);
  });
});
