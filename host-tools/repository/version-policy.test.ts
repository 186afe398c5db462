// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { type KeepPolicy, applyPolicy } from "./version-policy";

describe("the policy of forgetting", () => {
  const zone = process.env["TZ"];
  before(() => {
    process.env["TZ"] = "Europe/Berlin";
  });
  after(() => {
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  });

  /** What is kept, with its reasons, of versions newest first. */
  const cases: readonly {
    name: string;
    policy: KeepPolicy;
    times: Readonly<Record<string, string>>;
  }[] = [
    {
      name: "last keeps the newest ones",
      policy: { last: 2 },
      times: { "2026-11-21T12:00Z": "last", "2026-11-21T11:00Z": "last", "2026-11-21T10:00Z": "" },
    },
    {
      name: "last with numbers left keeps all",
      policy: { last: 5 },
      times: { "2026-11-21T12:00Z": "last", "2026-11-21T11:00Z": "last" },
    },
    {
      name: "daily keeps the newest of each day, and days without a version do not count",
      policy: { daily: 2 },
      times: {
        "2026-11-21T12:00Z": "daily",
        "2026-11-21T11:00Z": "",
        "2026-11-11T12:00Z": "daily",
        "2026-11-11T02:00Z": "",
        "2026-11-10T12:00Z": "",
      },
    },
    {
      name: "a rule with numbers left keeps the oldest, too",
      policy: { daily: 5 },
      times: { "2026-11-21T12:00Z": "daily", "2026-11-21T11:00Z": "", "2026-11-21T10:00Z": "oldest daily" },
    },
    {
      name: "a day is a day in local time",
      policy: { daily: 9 },
      // 00:30 on the 22nd in Berlin, 23:30 on the 21st, 00:30 on the 21st
      times: {
        "2026-11-21T23:30Z": "daily",
        "2026-11-21T22:30Z": "daily",
        "2026-11-20T23:30Z": "oldest daily",
      },
    },
    {
      name: "a day of 25 hours is one day, and one of 23 hours another",
      policy: { daily: 9 },
      times: {
        "2026-10-25T22:30Z": "daily", // 23:30, winter time
        "2026-10-25T01:30Z": "", // 02:30, winter time
        "2026-10-25T00:30Z": "", // 02:30, summer time
        "2026-10-24T22:30Z": "", // 00:30, summer time
        "2026-10-24T21:30Z": "daily", // 23:30 the day before
        "2026-03-29T21:30Z": "daily", // 23:30, summer time
        "2026-03-28T23:30Z": "", // 00:30, winter time
        "2026-03-28T22:30Z": "daily", // 23:30 the day before
      },
    },
    {
      name: "weeks are those of ISO 8601, also across the turn of the year",
      policy: { weekly: 9 },
      times: {
        "2027-01-04T12:00Z": "weekly", // Monday, week 1 of 2027
        "2027-01-03T12:00Z": "weekly", // Sunday, week 53 of 2026
        "2027-01-01T12:00Z": "", // Friday of it
        "2026-12-31T12:00Z": "",
        "2026-12-28T12:00Z": "", // Monday of it
        "2026-12-27T22:59Z": "weekly", // 23:59 on Sunday
        "2025-01-01T12:00Z": "weekly", // week 1 of 2025
        "2024-12-30T12:00Z": "", // Monday of it
        "2024-12-29T12:00Z": "weekly",
      },
    },
    {
      name: "months and years are told apart by the year, in local time",
      policy: { monthly: 3, yearly: 2 },
      times: {
        "2026-12-31T23:30Z": "monthly, yearly", // January 2027 in Berlin
        "2026-12-31T22:30Z": "monthly, yearly",
        "2026-12-01T12:00Z": "",
        "2026-01-15T12:00Z": "monthly",
        "2025-12-31T12:00Z": "",
      },
    },
    {
      name: "rules add up, each with its own number",
      policy: { last: 1, daily: 2, monthly: 2, yearly: 3 },
      times: {
        "2026-11-21T12:00Z": "last, daily, monthly, yearly",
        "2026-11-20T12:00Z": "daily",
        "2026-11-19T12:00Z": "",
        "2026-10-31T12:00Z": "monthly",
        "2026-10-30T12:00Z": "",
        "2025-06-01T12:00Z": "yearly",
        "2025-05-01T12:00Z": "oldest yearly",
      },
    },
    { name: "no rule keeps nothing", policy: {}, times: { "2026-11-21T12:00Z": "" } },
  ];
  for (const { name, policy, times } of cases)
    it(name, () => {
      const given = Object.keys(times);
      const reasons = applyPolicy(
        given.map((time) => Date.parse(time)),
        policy,
      );
      assert.deepEqual(Object.fromEntries(given.map((time, at) => [time, reasons[at]?.join(", ")])), times);
    });
});
