// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { TestRelay } from "../relay/test-relay";
import { type SimOptions, runSim } from "./sim";
import { xsBoardProgram } from "./xs-build";

const BUILD_MS = 180_000; // the first run compiles the engine

describe("runSim", function () {
  this.timeout(30_000);
  let relay: TestRelay;
  let folder: string;

  before(async function () {
    this.timeout(BUILD_MS);
    await xsBoardProgram();
    relay = await TestRelay.start();
    folder = mkdtempSync(join(tmpdir(), "coffer-sim-"));
  });
  after(async () => {
    await relay.stop();
    rmSync(folder, { recursive: true });
  });

  function options(): SimOptions {
    const issued = TestRelay.deviceAuthority.issue({ uris: ["coffer:device:cam1"], usage: "client" });
    return {
      name: "cam1",
      identity: {
        key: issued.key,
        cert: issued.certificate + TestRelay.deviceAuthority.certificate,
        ca: TestRelay.relayAuthority.certificate,
      },
      pairings: [new Uint8Array(32).fill(7)],
      relay: { host: "127.0.0.1", port: relay.port },
      card: join(folder, "card"),
    };
  }

  /** Runs until it is online; returns its log. */
  async function runOnce(): Promise<string[]> {
    const abort = new AbortController();
    const lines: string[] = [];
    const { counters, restarts } = await runSim({
      ...options(),
      signal: abort.signal,
      onLog: (_, line) => lines.push(line),
      onState: (state) => {
        if (state === "online") abort.abort();
      },
    });
    assert.equal(restarts, 0);
    assert.ok((counters?.slotsPeak ?? 0) > 0);
    return lines;
  }

  it("runs a device until it is told to stop, and knows its card and settings the next time", async () => {
    assert.match((await runOnce())[0] ?? "", /start 1 \(powerOn\)/);
    assert.ok(existsSync(join(folder, "card")));
    assert.match((await runOnce())[0] ?? "", /start 2 \(powerOn\)/);
  });

  it("does not start when it was told to stop before", async () => {
    const { restarts } = await runSim({ ...options(), signal: AbortSignal.abort() });
    assert.equal(restarts, 0);
  });
});
