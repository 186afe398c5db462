// SPDX-License-Identifier: MIT
/**
 * The device's firmware with a fault built in, for tests: at the event of a number that the configuration names it does
 * what no firmware should. Bundled like the device's own entry.
 */
import startDevice from "../firmware/platform/xs-board/main";
import { HostLink } from "../firmware/platform/xs-board/host-link";
import { HostOp } from "../firmware/platform/xs-board/host-protocol";

/** "stall": the loop goes on, and nothing in it. */
export type Fault = "throw" | "reject" | "loop" | "memory" | "stall";

export interface CrashConfig {
  crash?: { atEvent: number; fault: Fault };
}

export default function start(): void {
  const text = String.fromArrayBuffer(new HostLink().start(HostOp.config).call().buffer as ArrayBuffer);
  const { crash } = JSON.parse(text) as CrashConfig;
  if (crash?.atEvent === 0) fail(crash.fault);
  startDevice();
  if (!crash) return;
  const deliver = globalThis.onHostEvent;
  let left = crash.atEvent;
  globalThis.onHostEvent = (bytes) => {
    left--;
    if (left === 0) fail(crash.fault);
    if (left > 0 || crash.fault !== "stall") deliver(bytes);
  };
}

function fail(fault: Fault): void {
  if (fault === "throw") throw new TypeError("a fault for tests");
  if (fault === "reject") void Promise.reject(new TypeError("a fault for tests"));
  if (fault === "loop") for (let turns = 0; turns >= 0; turns++);
  if (fault === "memory") {
    const all: unknown[] = [];
    for (;;) all.push({ all });
  }
}
