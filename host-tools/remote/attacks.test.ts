// SPDX-License-Identifier: MIT
/**
 * The attacker's side: a relay that changes, drops, repeats, reorders, splices and truncates frames at every position
 * of a conversation. The client may refuse, whatever happens; it must never report what is not so, and never hang.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { type AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { FrameType, encodeFrame } from "../../firmware/protocol/frame";
import * as messages from "../../firmware/protocol/link-messages";
import { NO_ENTRY } from "../../firmware/protocol/log-chain";
import { encode } from "../../firmware/protocol/message";
import { seededRandom } from "../../test-sim/protocol/protocol-checks";
import { Refusal } from "../refusal";
import { DeviceClient, LogConflict } from "./device-client";
import { MemoryStore } from "./testing/memory-device";
import { testCertificates } from "./testing/test-identities";
import { attacks, inParallel, once } from "./testing/tampering";
import { TestPeer, type Tamper, type TestFrame } from "./testing/test-peer";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const BLOB = Buffer.alloc(14_000, "a blob that is uploaded");
const OTHER = Buffer.alloc(9_000, "a blob that was there");
const LOG = Buffer.alloc(32, 7);
const HANG_MS = 15_000;

function idOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

interface Outcome {
  done: number;
  refusals: Refusal[];
}

/** Everything a client does, each step checked against what the device really has. */
async function converse(client: DeviceClient, store: MemoryStore): Promise<Outcome> {
  const outcome: Outcome = { done: 0, refusals: [] };
  const step = async (action: () => Promise<void>): Promise<void> => {
    try {
      await action();
      outcome.done++;
    } catch (error) {
      if (error instanceof Refusal) outcome.refusals.push(error);
      // An append that a dropped frame kept from being heard of makes the next one a conflict: true as well.
      else if (!(error instanceof LogConflict)) throw error;
    }
  };
  const entriesOf = (): string[] => (store.logs.get(hex(LOG))?.entries ?? []).map(hex);
  let head: Uint8Array = NO_ENTRY;
  await Promise.all([
    step(async () => {
      await client.put(idOf(BLOB), [BLOB]);
      assert.deepEqual(store.blobs.get(hex(idOf(BLOB))), BLOB, "a put that is not so");
    }),
    step(async () => {
      const answer = await client.has([idOf(OTHER), Buffer.alloc(32, 1), idOf(OTHER)]);
      assert.deepEqual(answer, [true, false, true], "a has that is not so");
    }),
    step(async () => {
      assert.deepEqual(Buffer.from(await client.get(idOf(OTHER), 0, 20_000)), OTHER, "a get that is not so");
    }),
  ]);
  for (const text of ["one", "two"]) {
    await step(async () => {
      const before = head;
      const answer = await client.logAppend(LOG, before, Buffer.from(text));
      assert.equal(entriesOf()[answer.count - 1], hex(Buffer.from(text)), "an append that is not so");
      head = answer.head;
    });
  }
  await step(async () => {
    const answer = await client.logRead(LOG, 0);
    assert.deepEqual(answer.entries.map(hex), entriesOf(), "a log that is not so");
  });
  await step(async () => {
    const ids: string[] = [];
    for await (const { id } of client.list()) ids.push(hex(id));
    assert.deepEqual(ids, [...store.blobs.keys()].sort(), "a listing that is not so");
  });
  await step(async () => {
    assert.equal((await client.status()).capacityBytes, 1e9, "a status that is not so");
    assert.ok((await client.delete([idOf(OTHER)])) <= 1);
    assert.ok(!store.blobs.has(hex(idOf(OTHER))), "a delete that is not so");
  });
  return outcome;
}

async function run(options: {
  tamper: Tamper;
  secret?: Uint8Array;
  patienceMs?: number;
  stallMs?: number;
}): Promise<Outcome> {
  const store = new MemoryStore();
  if (options.secret) store.secret.set(options.secret);
  store.blobs.set(hex(idOf(OTHER)), OTHER);
  const peer = await TestPeer.start({ stores: [store] });
  peer.tamper = options.tamper;
  const { client: identity } = await testCertificates();
  const abort = new AbortController();
  const timer = setTimeout(() => {
    abort.abort(new Error("hang"));
  }, HANG_MS);
  try {
    const client = await DeviceClient.open({
      relay: peer.address,
      identity,
      device: "cam1",
      pairingSecret: store.secret,
      patienceMs: options.patienceMs ?? 0,
      timeoutMs: 400,
      stallMs: options.stallMs ?? 400,
      channels: 2,
      signal: abort.signal,
    });
    try {
      return await converse(client, store);
    } finally {
      await client.close();
    }
  } catch (error) {
    if (error instanceof Refusal) return { done: 0, refusals: [error] };
    throw error;
  } finally {
    clearTimeout(timer);
    assert.ok(!abort.signal.aborted, "the client hung");
    await peer.stop();
  }
}

describe(`a hostile relay (FUZZ_SEED=${String(seed)})`, function () {
  this.timeout(120_000);
  const secret = randomBytes(32);
  let recorded: TestFrame[] = [];

  before(async () => {
    await testCertificates();
    const seen: TestFrame[] = [];
    const clean = await run({
      secret,
      tamper: (frame) => {
        seen.push({ ...frame, payload: Buffer.from(frame.payload) });
        return [frame];
      },
    });
    assert.deepEqual(clean.refusals, []);
    assert.equal(clean.done, 8);
    recorded = seen;
  });

  for (const attack of [...Object.keys(attacks), "swap"]) {
    it(`gains nothing from one ${attack} at any position`, async () => {
      const tasks = recorded.map((_, position) => async () => {
        const tamper = once(attack, position, recorded, seed + position);
        try {
          const { done, refusals } = await run({ tamper, secret });
          assert.ok(done + refusals.length > 0);
        } catch (error) {
          throw new Error(`${attack} at ${String(position)}, seed ${String(seed)}`, { cause: error });
        }
      });
      await inParallel(tasks);
    });
  }

  it("costs a patient client one repetition and nothing else", async () => {
    const random = seededRandom(seed);
    const names = [...Object.keys(attacks), "swap"];
    const tasks = Array.from({ length: 60 }, (_, i) => async () => {
      const attack = names[random(names.length)] ?? "flip";
      const position = random(recorded.length);
      const tamper = once(attack, position, recorded, seed + i);
      const { done, refusals } = await run({ tamper, secret, patienceMs: 10_000 });
      // What names a device or proves a secret is refused for good when it is wrong once.
      const isFinal = refusals.every(({ kind }) =>
        [
          "pairingFailed",
          "unknownDevice",
          "protocolVersion",
          "deviceLocked",
          "certificateRevoked",
          "logTampered",
        ].includes(kind),
      );
      assert.ok(
        isFinal,
        `${attack} at ${String(position)}, seed ${String(seed)}: ${refusals.map(({ kind, message }) => `${kind}: ${message}`).join("; ")}`,
      );
      if (refusals.length === 0)
        assert.ok(done >= 7, `${attack} at ${String(position)}: ${String(done)} steps`);
    });
    await inParallel(tasks);
  });

  it("gains nothing from attacks on one frame in ten", async () => {
    const random = seededRandom(seed ^ 0x5a5a);
    const names = Object.keys(attacks);
    const tasks = Array.from({ length: 60 }, (_, i) => async () => {
      const mine = seededRandom(seed + 1000 * i);
      const tamper: Tamper = (frame) => {
        if (mine(10) > 0) return [frame];
        const attack = attacks[names[mine(names.length)] ?? "drop"];
        return attack?.(frame, mine, recorded[mine(recorded.length)]) ?? [frame];
      };
      await run({ tamper, secret, patienceMs: random(2) * 1500, stallMs: 200 });
    });
    await inParallel(tasks);
  });

  it("which damages every upload is named after the second", async () => {
    const tamper: Tamper = (frame, direction) => {
      const isBulk = direction === "toDevice" && frame.type === FrameType.data && frame.payload[0] === 2;
      if (!isBulk) return [frame];
      const payload = Buffer.from(frame.payload);
      payload[payload.length - 1] = (payload.at(-1) ?? 0) ^ 1;
      return [{ ...frame, payload }];
    };
    const { refusals } = await run({ tamper, patienceMs: 5000 });
    const [refusal] = refusals;
    assert.equal(refusal?.kind, "protocolViolation");
    assert.match(refusal.message, /changed on their way/);
  });

  it("which damages every download is named after the second", async () => {
    const tamper: Tamper = (frame, direction) => {
      const isBulk = direction === "toClient" && frame.type === FrameType.data && frame.payload[0] === 2;
      if (!isBulk) return [frame];
      const payload = Buffer.from(frame.payload);
      payload[payload.length - 1] = (payload.at(-1) ?? 0) ^ 1;
      return [{ ...frame, payload }];
    };
    const { refusals } = await run({ tamper, patienceMs: 5000 });
    assert.deepEqual(refusals.map(({ kind }) => kind).sort(), ["corruptedBlob", "logTampered"]);
  });

  it("that answers with garbage is refused", async () => {
    const { relay, relayAuthority, deviceAuthority, client: identity } = await testCertificates();
    const random = seededRandom(seed ^ 0x1234);
    const welcome = encodeFrame(
      FrameType.welcome,
      0,
      encode(messages.welcome, {
        version: 1,
        maxFrameBytes: 16378,
        heartbeatSeconds: 20,
        unixMs: 0,
        relay: "relay1",
      }),
    );
    const server = createServer({
      key: relay.key,
      cert: relay.certificate + relayAuthority.certificate,
      ca: deviceAuthority.certificate,
      requestCert: true,
    });
    server.on("secureConnection", (socket) => {
      socket.on("error", () => undefined);
      if (random(2)) socket.write(welcome);
      socket.on("data", () => {
        for (let i = random(4); i >= 0; i--) {
          const payload = Uint8Array.from({ length: random(60) }, () => random(256));
          const type = [2, 3, 4, 5, 7, 16, 17, 18, 19, 20][random(10)] ?? 19;
          if (random(4)) socket.write(encodeFrame(type, random(3), payload));
          else socket.write(payload);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const tasks = Array.from({ length: 80 }, () => async () => {
      const opening = DeviceClient.open({
        relay: { host: "127.0.0.1", port },
        identity,
        device: "cam1",
        pairingSecret: secret,
        patienceMs: 0,
        timeoutMs: 300,
        stallMs: 300,
      });
      await assert.rejects(opening, Refusal);
    });
    await inParallel(tasks);
    await new Promise<void>((resolve) =>
      server.close(() => {
        resolve();
      }),
    );
  });
});
