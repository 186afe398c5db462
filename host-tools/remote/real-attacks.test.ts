// SPDX-License-Identifier: MIT
/** A hostile relay between the client and the real device: whatever it does to a frame, nobody believes what is not so. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Refusal } from "../refusal";
import { DeviceClient, LogConflict } from "./device-client";
import { HostileProxy, type ProxyTamper } from "./testing/hostile-proxy";
import { RealDevice, RealRelay } from "./testing/real-devices";
import { attacks, inParallel, once } from "./testing/tampering";
import { testCertificates } from "./testing/test-identities";
import type { TestFrame } from "./testing/test-peer";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

function idOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

describe(`a hostile relay before a real device (FUZZ_SEED=${String(seed)})`, function () {
  this.timeout(120_000);
  let relay: RealRelay;
  let device: RealDevice;
  let honest: DeviceClient;
  let recorded: TestFrame[] = [];
  let runs = 0;
  /** A card holds 64 logs: each run borrows one and goes on at its end. */
  const logs = Array.from({ length: 12 }, () => randomBytes(32));

  const connect = async (address: RealRelay["address"], patienceMs: number): Promise<DeviceClient> => {
    const { client: identity } = await testCertificates();
    return DeviceClient.open({
      relay: address,
      identity,
      device: "cam1",
      pairingSecret: device.secret,
      patienceMs,
      timeoutMs: 1000,
      stallMs: 1000,
      channels: 1,
    });
  };

  /** One conversation through the proxy; every success is then checked by an honest client. */
  const run = async (tamper: ProxyTamper, patienceMs = 0): Promise<{ done: number; refusals: Refusal[] }> => {
    const proxy = await HostileProxy.start(relay.address, tamper);
    const mark = `${String(seed)} ${String(runs++)}`;
    const blob = Buffer.alloc(20_000, mark);
    const log = logs.pop() ?? randomBytes(32);
    const { count: from, head: first } = await honest.logHead(log);
    const checks: (() => Promise<void>)[] = [];
    const outcome: { done: number; refusals: Refusal[] } = { done: 0, refusals: [] };
    const step = async (action: () => Promise<unknown>): Promise<void> => {
      try {
        await action();
        outcome.done++;
      } catch (error) {
        if (error instanceof Refusal) outcome.refusals.push(error);
        else if (!(error instanceof LogConflict)) throw error;
      }
    };
    let client: DeviceClient | undefined;
    await step(async () => {
      client = await connect(proxy.address, patienceMs);
    });
    const opened = client;
    if (opened) {
      await step(async () => {
        await opened.put(idOf(blob), [blob]);
        checks.push(async () => {
          assert.deepEqual(
            Buffer.from(await honest.get(idOf(blob), 0, 30_000)),
            blob,
            "a put that is not so",
          );
        });
      });
      await step(async () => {
        const has = await opened.has([idOf(blob), log]);
        checks.push(async () => {
          if (has[0]) assert.deepEqual(await honest.has([idOf(blob)]), [true], "a has that is not so");
        });
        assert.equal(has[1], false, "a has that is not so");
      });
      await step(async () => {
        assert.deepEqual(Buffer.from(await opened.get(idOf(blob), 0, 30_000)), blob, "a get that is not so");
      });
      let head = first;
      for (const text of ["one", "two"]) {
        await step(async () => {
          const entry = Buffer.from(text + mark);
          const at = await opened.logAppend(log, head, entry);
          head = at.head;
          checks.push(async () => {
            const { entries } = await honest.logRead(log, from, first);
            assert.deepEqual(
              Buffer.from(entries[at.count - from - 1] ?? []),
              entry,
              "an append that is not so",
            );
          });
        });
      }
      await step(async () => {
        const seen = (await opened.logRead(log, from, first)).entries.map((entry) =>
          Buffer.from(entry).toString(),
        );
        const real = (await honest.logRead(log, from, first)).entries.map((entry) =>
          Buffer.from(entry).toString(),
        );
        assert.deepEqual(seen, real, "a log that is not so");
      });
      await opened.close();
    }
    await proxy.stop();
    for (const check of checks) await check();
    logs.push(log);
    return outcome;
  };

  before(async () => {
    relay = await RealRelay.start();
    device = await new RealDevice("cam1", relay.address).start();
    honest = await connect(relay.address, 20_000);
    await honest.has([randomBytes(32)]);
    const seen: TestFrame[] = [];
    const clean = await run((frame) => {
      seen.push({ ...frame, payload: Buffer.from(frame.payload) });
      return [frame];
    });
    assert.deepEqual(clean.refusals, []);
    assert.equal(clean.done, 7);
    recorded = seen;
  });

  after(async () => {
    await honest.close();
    await device.stop();
    await relay.stop();
    device.remove();
    relay.remove();
  });

  for (const attack of [...Object.keys(attacks), "swap"]) {
    it(`gains nothing from one ${attack} at any position`, async () => {
      const tasks = recorded.map((_, position) => async () => {
        try {
          const { done, refusals } = await run(once(attack, position, recorded, seed + position));
          assert.ok(done + refusals.length > 0);
        } catch (error) {
          throw new Error(`${attack} at ${String(position)}, seed ${String(seed)}`, { cause: error });
        }
      });
      await inParallel(tasks);
      assert.equal((await honest.status()).device, "cam1", "the device lives");
    });
  }

  it("costs a patient client a repetition", async () => {
    const final = new Set([
      "pairingFailed",
      "unknownDevice",
      "protocolVersion",
      "deviceLocked",
      "certificateRevoked",
      "logTampered",
    ]);
    const tasks = recorded.flatMap((_, position) =>
      ["flip", "drop", "swap"].map((attack) => async () => {
        const { refusals } = await run(once(attack, position, recorded, seed + position), 15_000);
        const wrong = refusals
          .filter(({ kind }) => !final.has(kind))
          .map(({ kind, message }) => `${kind}: ${message}`);
        assert.deepEqual(wrong, [], `${attack} at ${String(position)}, seed ${String(seed)}`);
      }),
    );
    await inParallel(tasks);
  });
});
