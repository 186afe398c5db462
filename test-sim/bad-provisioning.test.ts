// SPDX-License-Identifier: MIT
/** A device on the XS engine that was given the wrong things: it says what is wrong, and stays alive. */
import assert from "node:assert/strict";

import { CardState } from "../firmware/protocol/verbs";
import { DeviceClient } from "../host-tools/remote/device-client";
import { TestRelay } from "../relay/test-relay";
import { TestAuthority } from "../relay/test-authority";
import { Board, type BoardOptions } from "./board";
import { SimCard } from "./card";
import { VirtualTime } from "./sim-time";
import { xsBoardProgram } from "./xs-build";

const BUILD_MS = 180_000; // the first run compiles the engine
const SECRET = new Uint8Array(32).fill(7);
const DAY_MS = 86_400_000;

const REFUSED_RELAY = /the relay is not of the authority that this device was built for/;
const REFUSED_DEVICE = /refuses this device: its certificate may be expired, revoked or of another/;

describe("a device that was set up wrong", function () {
  this.timeout(30_000);
  let relay: TestRelay;
  const ends: (() => unknown)[] = [];

  before(async function () {
    this.timeout(BUILD_MS);
    await xsBoardProgram();
    relay = await TestRelay.start();
  });
  after(() => relay.stop());
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  function identity(
    authority = TestRelay.deviceAuthority,
    shape: { fromMs?: number; toMs?: number } = {},
    ca = TestRelay.relayAuthority.certificate,
  ): BoardOptions["identity"] {
    const issued = authority.issue({ uris: ["coffer:device:cam1"], usage: "client", ...shape });
    return { key: issued.key, cert: issued.certificate + authority.certificate, ca };
  }

  function newBoard(changes: Partial<BoardOptions>): Board {
    const board = new Board({
      name: "cam1",
      identity: identity(),
      relay: { host: "127.0.0.1", port: relay.port },
      pairings: [SECRET],
      seed: 1,
      ...changes,
    });
    ends.push(() => board.cutPower());
    return board;
  }

  async function until(what: string, condition: () => boolean): Promise<void> {
    for (const end = Date.now() + 15_000; !condition();) {
      assert.ok(Date.now() < end, `${what} did not happen`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  const cases: [string, () => BoardOptions["identity"], RegExp][] = [
    [
      "for another owner's relay",
      () => identity(undefined, {}, new TestAuthority("another relay authority").certificate),
      REFUSED_RELAY,
    ],
    [
      "with its own authority in the place of the relay's",
      () => identity(undefined, {}, TestRelay.deviceAuthority.certificate),
      REFUSED_RELAY,
    ],
    [
      "with a certificate of another owner",
      () => identity(new TestAuthority("another device authority")),
      REFUSED_DEVICE,
    ],
    [
      "with a certificate that has expired",
      () => identity(undefined, { fromMs: Date.now() - 2 * DAY_MS, toMs: Date.now() - DAY_MS }),
      REFUSED_DEVICE,
    ],
    [
      "with a certificate of the future",
      () => identity(undefined, { fromMs: Date.now() + DAY_MS }),
      REFUSED_DEVICE,
    ],
  ];
  for (const [what, make, line] of cases)
    it(`${what} says so, and is none that fails`, async () => {
      const board = newBoard({ identity: make() });
      await board.boot();
      await until("the line", () => board.logLines.some((said) => line.test(said)));
      assert.equal(board.isOnline, false);
      assert.equal(board.exit, undefined);
    });

  it("says that its clock is not set, and that certificates cannot be judged", async () => {
    const board = newBoard({ virtualTime: true });
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
    const board = newBoard({ card });
    await board.boot();
    await until("online", () => board.isOnline);
    const issued = TestRelay.deviceAuthority.issue({ uris: ["coffer:client:ann"], usage: "client" });
    const client = await DeviceClient.open({
      relay: { host: "127.0.0.1", port: relay.port },
      identity: {
        key: issued.key,
        chain: issued.certificate + TestRelay.deviceAuthority.certificate,
        ca: TestRelay.relayAuthority.certificate,
      },
      device: "cam1",
      pairingSecret: SECRET,
      channels: 1,
    });
    ends.push(() => client.close());
    assert.equal((await client.status()).card, CardState.foreign);
    const { lines } = await client.deviceLog(0);
    assert.ok(lines.some(({ text }) => /holds files that are not Coffer's: left alone/.test(text)));
    const names: string[] = [];
    const scan = card.scan("");
    for (let entry = scan.next(); entry; entry = scan.next()) names.push(entry.name);
    assert.deepEqual(names, ["holiday.jpg"]);
  });
});
