// SPDX-License-Identifier: MIT
/** What kept a device from its relay is told once it is reached, also by the start after. */
import assert from "node:assert/strict";

import type { Discovery, FoundRelay, Preferences } from "../../firmware/core/io";
import { Troubles } from "../../firmware/core/troubles";
import { Trouble, type TroubleEntry } from "../../firmware/protocol/trouble";
import { verbs } from "../../firmware/protocol/verbs";
import { MemoryPreferences } from "../memory-preferences";
import { ClientBench } from "./client-bench";
import { DeviceBench } from "./device-bench";
import { Turns } from "./turns";

/** Of a device that has come online. */
function told(bench: DeviceBench): TroubleEntry[] {
  bench.welcome();
  const client = ClientBench.paired(bench, 1);
  return (client.request(verbs.troubles, 1, {}) as { troubles: TroubleEntry[] }).troubles;
}

describe("troubles of a device", () => {
  it("are none when it connects at once", () => {
    assert.deepEqual(told(new DeviceBench()), []);
  });

  for (const code of ["certificate", "rejected", "unreachable"] as const)
    it(`are counted, and the last has its time: ${code}`, () => {
      const bench = new DeviceBench();
      for (let i = 0; i < 3; i++) {
        bench.relay.fail(code);
        bench.turns.advance(10_000);
      }
      const entries = told(bench);
      assert.deepEqual(
        entries.map(({ code: number, wasEarlier, count }) => ({ number, wasEarlier, count })),
        [{ number: Trouble[code], wasEarlier: false, count: 3 }],
      );
      assert.ok((entries[0]?.lastSeconds ?? 0) >= 20);
    });

  it("are the clock's while it is not set, whatever else follows from that", () => {
    const bench = new DeviceBench({ isClockSet: false });
    bench.relay.fail("certificate");
    bench.turns.advance(10_000);
    assert.deepEqual(
      told(bench).map(({ code, count }) => [code, count]),
      [[Trouble.clock, 2]],
    );
  });

  it("are those of the search where no relay is found", () => {
    const searches: { onFound(relay: FoundRelay): void; onDone(): void }[] = [];
    const discovery: Discovery = {
      find: (options) => {
        searches.push(options);
        return { close: () => undefined };
      },
    };
    const bench = new DeviceBench({ relay: null, discovery });
    for (let i = 0; i < 2; i++) {
      searches.shift()?.onDone();
      bench.turns.advance(10_000);
    }
    searches[0]?.onFound({ host: "10.0.0.1", port: 1, name: "home" });
    searches[0]?.onDone();
    assert.deepEqual(
      told(bench).map(({ code, count }) => [code, count]),
      [[Trouble.relayNotFound, 2]],
    );
    assert.equal(bench.lines.filter((line) => line.includes("no relay found on this network")).length, 2);
  });

  it("outlive the power until a client was told, and no longer than the start after", () => {
    const preferences = new MemoryPreferences();
    new DeviceBench({ preferences }).relay.fail("rejected");
    const [entry, ...more] = told(new DeviceBench({ preferences }));
    const expected = { code: Trouble.rejected, wasEarlier: true, count: 0, lastSeconds: 0 };
    assert.deepEqual([entry, more], [expected, []]);
    assert.deepEqual(told(new DeviceBench({ preferences })), []);
  });

  it("stay the same within a start, however often they are asked for", () => {
    const preferences = new MemoryPreferences();
    new DeviceBench({ preferences }).relay.fail("rejected");
    const bench = new DeviceBench({ preferences });
    bench.welcome();
    const client = ClientBench.paired(bench, 1);
    const first = client.request(verbs.troubles, 1, {});
    assert.deepEqual(client.request(verbs.troubles, 2, {}), first);
  });

  it("are written to flash when they are new only", () => {
    let writes = 0;
    const memory = new MemoryPreferences();
    const preferences: Preferences = {
      get: (key) => memory.get(key),
      set: (key, value) => {
        writes++;
        memory.set(key, value);
      },
    };
    const troubles = new Troubles({ preferences, clock: new Turns() });
    for (let i = 0; i < 100_000; i++) troubles.note("unreachable");
    assert.equal(writes, 1);
    assert.deepEqual(troubles.tell(), [{ code: 5, wasEarlier: false, count: 0xffff, lastSeconds: 0 }]);
    troubles.tell();
    assert.equal(writes, 2);
    troubles.note("wifi");
    assert.equal(writes, 3);
  });

  it("do not stop a device whose flash cannot be read or written", () => {
    const preferences: Preferences = {
      get: () => {
        throw new Error("worn");
      },
      set: () => {
        throw new Error("worn");
      },
    };
    const bench = new DeviceBench({ preferences });
    bench.relay.fail("rejected");
    bench.turns.advance(10_000);
    assert.deepEqual(
      told(bench).map(({ code }) => code),
      [Trouble.rejected],
    );
  });
});
