// SPDX-License-Identifier: MIT
/** A device on the XS engine that was given the wrong things: it says what is wrong, and stays alive. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";

import { Trouble } from "../firmware/protocol/trouble";
import { CardState } from "../firmware/protocol/verbs";
import { temporaryFolder } from "../host-tools/test/temporary-folder";
import { TestRelay } from "../relay/test-relay";
import { TestAuthority } from "../relay/test-authority";
import { BUILD_MS, BoardBench, type IdentityOptions, until } from "./board-bench";
import { SimCard } from "./card";
import { NetworkProxy } from "./network-proxy";
import { VirtualTime } from "./sim-time";

const DAY_MS = 86_400_000;

const REFUSED_RELAY = /the relay is not of the authority that this device was built for/;
const REFUSED_DEVICE = /refuses this device: its certificate may be expired, revoked or of another/;

describe("a device that was set up wrong", function () {
  this.timeout(30_000);
  const folder = temporaryFolder();
  let bench: BoardBench;

  before(async function () {
    this.timeout(BUILD_MS);
    bench = await BoardBench.start();
  });
  after(() => bench.stop());
  afterEach(() => bench.clear());

  const cases: [string, () => IdentityOptions, RegExp, keyof typeof Trouble][] = [
    [
      "for another owner's relay",
      () => ({ ca: new TestAuthority("another relay authority").certificate }),
      REFUSED_RELAY,
      "certificate",
    ],
    [
      "with its own authority in the place of the relay's",
      () => ({ ca: TestRelay.deviceAuthority.certificate }),
      REFUSED_RELAY,
      "certificate",
    ],
    [
      "with a certificate of another owner",
      () => ({ authority: new TestAuthority("another device authority") }),
      REFUSED_DEVICE,
      "rejected",
    ],
    [
      "with a certificate that has expired",
      () => ({ fromMs: Date.now() - 2 * DAY_MS, toMs: Date.now() - DAY_MS }),
      REFUSED_DEVICE,
      "rejected",
    ],
    ["with a certificate of the future", () => ({ fromMs: Date.now() + DAY_MS }), REFUSED_DEVICE, "rejected"],
  ];
  for (const [what, make, line, trouble] of cases)
    it(`${what} says so, is none that fails, and tells of it once it was put right`, async () => {
      const preferencesFile = join(folder.path, randomUUID());
      const wrong = bench.board({ identity: bench.identity(make()), preferencesFile });
      await wrong.boot();
      await until("the line", () => wrong.logLines.some((said) => line.test(said)));
      assert.equal(wrong.isOnline, false);
      assert.equal(wrong.exit, undefined);
      await wrong.cutPower();
      const right = bench.board({ preferencesFile });
      await right.boot();
      await until("online", () => right.isOnline);
      const client = await bench.client();
      const expected = { code: Trouble[trouble], wasEarlier: true, count: 0, lastSeconds: 0 };
      assert.deepEqual(await client.troubles(), [expected]);
      await right.reset();
      await until("online again", () => right.isOnline);
      assert.deepEqual(await (await bench.client()).troubles(), []);
    });

  it("whose relay was not there tells how often, once it is", async () => {
    const proxy = new NetworkProxy({ host: "127.0.0.1", port: bench.relay.port });
    const port = await proxy.start();
    await proxy.stop();
    const board = bench.board({ relay: { host: "127.0.0.1", port } });
    await board.boot();
    const tries = (): number => board.logLines.filter((said) => said.startsWith("warn uplink: 127")).length;
    await until("two attempts", () => tries() >= 2);
    await proxy.start(port);
    bench.atEnd(() => proxy.stop());
    await until("online", () => board.isOnline);
    const [entry, ...more] = (await (await bench.client()).troubles()) ?? [];
    assert.deepEqual([entry?.code, entry?.wasEarlier, more], [Trouble.unreachable, false, []]);
    assert.ok((entry?.count ?? 0) >= 2);
  });

  it("says that its clock is not set, and that certificates cannot be judged", async () => {
    const board = bench.board({ virtualTime: true });
    const { time } = board;
    assert.ok(time instanceof VirtualTime);
    time.unixStartMs = undefined;
    await board.boot();
    await board.advance(1000);
    assert.ok(board.logLines.some((said) => said.includes("uplink: the clock is not set")));
    assert.equal(board.exit, undefined);
  });

  it("leaves a card alone that holds somebody else's files, and tells clients", async () => {
    const card = new SimCard({ seed: 1 });
    const file = card.openFile("holiday.jpg", "create");
    file.allocate(4096);
    file.write(new Uint8Array(4096).fill(5), 0);
    await new Promise<void>((resolve) => {
      file.flush(() => {
        resolve();
      });
    });
    file.close();
    const board = bench.board({ card });
    await board.boot();
    await until("online", () => board.isOnline);
    const client = await bench.client();
    assert.equal((await client.status()).card, CardState.foreign);
    const { lines } = await client.deviceLog(0);
    assert.ok(lines.some(({ text }) => /holds files that are not Coffer's: left alone/.test(text)));
    const names: string[] = [];
    const scan = card.scan("");
    for (let entry = scan.next(); entry; entry = scan.next()) names.push(entry.name);
    assert.deepEqual(names, ["holiday.jpg"]);
  });
});
