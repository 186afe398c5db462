// SPDX-License-Identifier: MIT
/** What a device says of itself: bounded, in order, without secrets, and told to clients that have proven themselves. */
import assert from "node:assert/strict";
import { DeviceLog, LEAST_LOG_BYTES } from "../../firmware/core/device-log";
import { StorageError } from "../../firmware/core/io";
import type { Log } from "../../firmware/core/io";
import { logText } from "../../firmware/core/log-text";
import { MAX_LINE_BYTES, MAX_LISTED_LINES } from "../../firmware/protocol/limits";
import { FailureCode, LineLevel, verbs } from "../../firmware/protocol/verbs";
import type { Failure, LogLine, LogLines } from "../../firmware/protocol/verbs";
import { SeededRandom } from "../seeded-random";
import { ClientBench } from "./client-bench";
import { DeviceBench, SECRET } from "./device-bench";
import type { DeviceBenchOptions } from "./device-bench";
import { Turns } from "./turns";

const HEADER_BYTES = 16;
const silent: Log = { write: () => undefined };

function newLog(keptBytes = LEAST_LOG_BYTES): { log: DeviceLog; turns: Turns } {
  const turns = new Turns();
  return { log: new DeviceLog({ clock: turns, log: silent, keptBytes }), turns };
}

function textsOf(log: DeviceLog, from = 0): string[] {
  return log.read(from, 10_000).lines.map(({ text }) => text);
}

/** Every page, as a client reads them. */
function readAll(client: ClientBench, from = 0): LogLine[] {
  const lines: LogLine[] = [];
  for (;;) {
    const page = client.request(verbs.deviceLog, 1, { from }) as LogLines;
    lines.push(...page.lines);
    from = (lines.at(-1)?.sequence ?? from - 1) + 1;
    if (!page.more) return lines;
  }
}

function online(options: DeviceBenchOptions = {}): DeviceBench {
  const bench = new DeviceBench(options);
  bench.welcome();
  return bench;
}

describe("the log of a device", () => {
  it("tells lines in order, with both clocks and a level", () => {
    const { log, turns } = newLog();
    turns.isClockSet = false;
    turns.nowMs = 12;
    log.write("info", "first");
    turns.isClockSet = true;
    turns.nowMs = 5000;
    log.write("warn", "second");
    assert.deepEqual(log.read(0, 10), {
      more: false,
      lines: [
        { sequence: 0, repeats: 0, uptimeMs: 12, unixMs: 0, level: LineLevel.info, text: "first" },
        {
          sequence: 1,
          repeats: 0,
          uptimeMs: 5000,
          unixMs: 1_700_000_005_000,
          level: LineLevel.warn,
          text: "second",
        },
      ],
    });
    assert.deepEqual(log.read(0, 1).more, true);
    assert.deepEqual(textsOf(log, 1), ["second"]);
    assert.deepEqual(textsOf(log, 2), []);
  });

  it("keeps a line that comes again once, and counts", () => {
    const { log, turns } = newLog();
    log.write("warn", "down");
    for (turns.nowMs = 1; turns.nowMs <= 70_000; turns.nowMs++) log.write("warn", "down");
    log.write("info", "down");
    const { lines } = log.read(0, 10);
    assert.deepEqual(
      lines.map(({ sequence, repeats, level }) => ({ sequence, repeats, level })),
      [
        { sequence: 65_535, repeats: 65_535, level: LineLevel.warn },
        { sequence: 70_000, repeats: 4464, level: LineLevel.warn },
        { sequence: 70_001, repeats: 0, level: LineLevel.info },
      ],
    );
    assert.equal(lines[1]?.uptimeMs, 70_000);
    assert.equal(log.read(70_000, 10).lines.length, 2);
  });

  it("loses the oldest lines first, never more than it has to, and grows by nothing", () => {
    const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32));
    const random = new SeededRandom(seed);
    const { log } = newLog(1000);
    let kept: { text: string; sequence: number }[] = [];
    for (let sequence = 0; sequence < 3000; sequence++) {
      const last = kept.at(-1)?.text;
      const text =
        last !== undefined && random.oneIn(4) ? last : "x y ".repeat(random.below(60)).slice(0, 200);
      log.write("info", text);
      const line = { text: text.slice(0, MAX_LINE_BYTES), sequence };
      if (line.text === last) kept.pop();
      kept.push(line);
      let bytes = 0;
      kept = kept.filter((_, i) => {
        bytes = kept.slice(i).reduce((sum, other) => sum + HEADER_BYTES + other.text.length, 0);
        return bytes <= 1000;
      });
      const found = log.read(0, 1000).lines.map((one) => ({ text: one.text, sequence: one.sequence }));
      assert.deepEqual(found, kept, `SEED=${String(seed)} step ${String(sequence)}`);
    }
  });

  it("makes of any text one line of a bounded size", () => {
    for (const text of [
      "",
      "ä".repeat(300),
      "a\nb\u001b[2Jc",
      "\ud800",
      "x ".repeat(5000),
      "日本".repeat(99),
    ]) {
      const line = logText(text);
      assert.ok(Buffer.byteLength(line) <= MAX_LINE_BYTES, line);
      assert.doesNotMatch(line, /\p{Cc}/u);
    }
    const { log } = newLog();
    log.write("info", "ä".repeat(300));
    assert.equal(textsOf(log)[0], "ä".repeat(80));
  });

  it("shortens whatever could be a secret, and leaves paths and names", () => {
    const hex = Buffer.from(SECRET).toString("hex");
    const key = `${Buffer.alloc(48, 0xa7).toString("base64")}${Buffer.alloc(48, 0x91).toString("base64")}`;
    for (const text of [
      hex,
      `secret ${hex}.`,
      `{"pairingSecret":"${hex}"}`,
      `${"x".repeat(150)} ${hex}`,
      key,
    ]) {
      const line = logText(text);
      for (let at = 0; at + 12 <= hex.length; at++) assert.ok(!line.includes(hex.slice(at, at + 12)), line);
      for (let at = 0; at + 12 <= key.length; at++) assert.ok(!line.includes(key.slice(at, at + 12)), line);
    }
    for (const text of [
      "ENOENT: no such file or directory, open '/srv/coffer/store-of-the-attic/card/blobs/ab'",
      "uplink: relay.example.org:7443: certificate: UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    ])
      assert.equal(logText(text), text);
  });

  it("never throws, whatever the clock and the platform's log do", () => {
    const broken = (): never => {
      throw new Error("broken");
    };
    new DeviceLog({ clock: { monotonicMs: broken, unixMs: broken }, log: silent, keptBytes: 1000 }).write(
      "info",
      "x",
    );
    const { turns } = newLog();
    const log = new DeviceLog({ clock: turns, log: { write: broken }, keptBytes: 1000 });
    log.write("info", "kept all the same");
    assert.deepEqual(textsOf(log), ["kept all the same"]);
  });
});

describe("deviceLog of a device", () => {
  it("tells a start from the first line on: why it started, its card, its connection", () => {
    const bench = online();
    const client = ClientBench.paired(bench, 1);
    const page = client.request(verbs.deviceLog, 1, { from: 0 }) as LogLines;
    assert.equal(page.start, 1);
    assert.equal(page.unixMs, 1_700_000_000_000 + bench.turns.nowMs);
    assert.deepEqual(
      page.lines.map(({ text }) => text),
      [
        "device cam1 0.1.0 on test, start 1 (powerOn)",
        "card: initialising",
        "card: ready",
        "uplink: online at relay.example.org:7443 (relay test)",
      ],
    );
    assert.deepEqual(readAll(client, 3).length, 1);
    assert.deepEqual(readAll(client, 2 ** 32 - 1), []);
  });

  it("goes on with what its platform said before there was a device, such as about Wi-Fi", () => {
    const log = new DeviceLog({ clock: new Turns(), log: silent, keptBytes: 2048 });
    log.write("warn", "Wi-Fi: no connection to home");
    const client = ClientBench.paired(online({ log }), 1);
    assert.deepEqual(
      readAll(client)
        .slice(0, 2)
        .map(({ text }) => text),
      ["Wi-Fi: no connection to home", "device cam1 0.1.0 on test, start 1 (powerOn)"],
    );
  });

  it("is read page by page, each within a frame, also while it goes on", () => {
    const bench = online({ limits: { logBytes: 64 * 1024, listedBlobs: 90 } });
    const client = ClientBench.paired(bench, 1);
    for (let i = 0; i < 100; i++) {
      bench.relay.fail("lost");
      while (bench.relay.isClosed) bench.turns.advance(1000);
      bench.welcome();
    }
    const fresh = ClientBench.paired(bench, 2);
    const lines = readAll(fresh);
    assert.ok(lines.length >= 200, String(lines.length));
    lines.forEach(({ sequence, repeats }, i) => {
      assert.equal(sequence - repeats, (lines[i - 1]?.sequence ?? -1) + 1);
    });
    const page = fresh.request(verbs.deviceLog, 1, { from: 0 }) as LogLines;
    assert.equal(page.lines.length, MAX_LISTED_LINES);
    assert.equal(client.closedReason, undefined);
  });

  it("tells what failed for clients, and what the card and the relay did", () => {
    const bench = online();
    const client = ClientBench.paired(bench, 1);
    bench.simCard.failAtOperation(1);
    client.request(verbs.logAppend, 1, {
      log: new Uint8Array(32).fill(1),
      previous: new Uint8Array(32),
      entry: new Uint8Array(10),
    });
    const other = new ClientBench(bench, 2);
    other.handshake({ secret: new Uint8Array(32).fill(9) });
    const texts = readAll(client).map(({ text }) => text);
    assert.ok(
      texts.some((text) => text.startsWith("logAppend: card: ")),
      texts.join("\n"),
    );
    assert.ok(texts.includes("channel: closed client1: authentication"), texts.join("\n"));
    bench.relay.fail("certificate");
    while (bench.relay.isClosed) bench.turns.advance(1000);
    bench.welcome();
    const later = readAll(ClientBench.paired(bench, 3)).map(({ text }) => text);
    assert.ok(later.includes("uplink: relay.example.org:7443: certificate: by the test"), later.join("\n"));
  });

  it("is for those who have proven themselves, like every verb", () => {
    const client = new ClientBench(online(), 1);
    client.handshake({ secret: new Uint8Array(32).fill(9) });
    assert.equal(client.controls.length, 0);
    assert.throws(() => client.request(verbs.deviceLog, 1, { from: 0 }));
  });

  it("refuses a question that is none", () => {
    const client = ClientBench.paired(online(), 1);
    const asked = client.request({ ...verbs.deviceLog, request: verbs.status.request }, 1, {}) as Failure;
    assert.equal(asked.code, FailureCode.badRequest);
  });

  it("never has the pairing secret in it, whatever goes wrong with one in hand", () => {
    const hex = Buffer.from(SECRET).toString("hex");
    const bench = online();
    const client = ClientBench.paired(bench, 1);
    const openFile = bench.simCard.openFile.bind(bench.simCard);
    bench.simCard.openFile = () => {
      throw new StorageError("io", `while holding ${hex} and ${Buffer.from(SECRET).toString("base64")}`);
    };
    client.request(verbs.logAppend, 1, {
      log: new Uint8Array(32).fill(1),
      previous: new Uint8Array(32),
      entry: new Uint8Array(10),
    });
    bench.simCard.openFile = openFile;
    const told = [...readAll(client).map(({ text }) => text), ...bench.lines].join("\n");
    assert.match(told, /while holding/);
    for (const secret of [hex, Buffer.from(SECRET).toString("base64")])
      for (let at = 0; at + 12 <= secret.length; at++)
        assert.ok(!told.includes(secret.slice(at, at + 12)), told);
  });
});
