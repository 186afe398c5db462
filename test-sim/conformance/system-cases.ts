// SPDX-License-Identifier: MIT
/* eslint-disable @typescript-eslint/require-await -- a case that has nothing to wait for has the same shape */
/** The contracts of clock, timers, entropy, preferences and watchdog. They wait some real milliseconds: no clock is faked here. */
import type { Ports } from "../../firmware/core/io";
import { type PortCase, check, equal, equalBytes, pattern, refusalOf } from "./case";

type SystemPorts = Pick<Ports, "clock" | "timers" | "entropy" | "preferences" | "watchdog">;

const after = ({ timers }: SystemPorts, ms: number) =>
  new Promise<void>((resolve) => timers.set(ms, resolve));

export const systemCases: PortCase<SystemPorts>[] = [
  {
    name: "the clock does not run backwards, and counts milliseconds",
    async run(ports) {
      let last = ports.clock.monotonicMs();
      const start = last;
      for (let i = 0; i < 20; i++) {
        const now = ports.clock.monotonicMs();
        check(now >= last, "it ran backwards");
        last = now;
      }
      await after(ports, 20);
      const passed = ports.clock.monotonicMs() - start;
      check(passed >= 19 && passed < 2000, `20 ms took ${String(passed)}`);
    },
  },
  {
    name: "Unix time is unknown or of this century",
    async run({ clock }) {
      const ms = clock.unixMs();
      check(ms === undefined || (ms > Date.UTC(2025, 0, 1) && ms < Date.UTC(2100, 0, 1)), String(ms));
    },
  },
  {
    name: "a timer fires once, never inside set, in order of time",
    async run(ports) {
      const fired: number[] = [];
      ports.timers.set(15, () => fired.push(2));
      ports.timers.set(0, () => fired.push(1));
      equal(fired.length, 0, "fired inside set");
      await after(ports, 40);
      equal(fired.join(), "1,2", "order");
    },
  },
  {
    name: "a cleared timer does not fire, and clearing again is harmless",
    async run(ports) {
      let fired = 0;
      const timer = ports.timers.set(5, () => fired++);
      ports.timers.clear(timer);
      ports.timers.clear(timer);
      const done = ports.timers.set(0, () => fired++);
      await after(ports, 20);
      ports.timers.clear(done);
      equal(fired, 1, "fired");
    },
  },
  {
    name: "entropy fills all of a buffer, differently each time",
    async run({ entropy }) {
      const one = new Uint8Array(64);
      const two = new Uint8Array(64);
      entropy.fill(one);
      entropy.fill(two);
      check(one.join() !== two.join(), "twice the same");
      check(new Set(one).size > 16, "too few different bytes");
      entropy.fill(new Uint8Array(0));
    },
  },
  {
    name: "a watchdog, where there is one, does nothing while it is fed in time",
    async run(ports) {
      for (let i = 0; i < 4; i++) {
        ports.watchdog?.feed(400);
        await after(ports, 150);
      }
      ports.watchdog?.feed(60_000);
      await after(ports, 500);
    },
  },
  {
    name: "a setting is what was set last, or undefined",
    async run({ preferences }) {
      equal(preferences.get("never1"), undefined, "never set");
      preferences.set("key1", pattern(1024));
      preferences.set("key2", new Uint8Array(0));
      preferences.set("key1", pattern(1000, 3));
      equalBytes(preferences.get("key1") ?? new Uint8Array(0), pattern(1000, 3), "key1");
      equal(preferences.get("key2")?.length, 0, "length of an empty setting");
      check(
        refusalOf(() => {
          preferences.set("Not A Key", pattern(1));
        }) !== "nothing thrown",
        "a wrong key was taken",
      );
    },
  },
];
