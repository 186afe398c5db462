// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { parseVersionTime } from "./version-time";

describe("times that name a version", () => {
  const zone = process.env["TZ"];
  before(() => {
    process.env["TZ"] = "Europe/Berlin";
  });
  after(() => {
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  });

  const cases: readonly (readonly [text: string, now: string, utc: string])[] = [
    ["2026-11-21", "2026-12-01T00:00:00Z", "2026-11-21T22:59:59.999Z"],
    ["2026-07-01", "2026-12-01T00:00:00Z", "2026-07-01T21:59:59.999Z"],
    ["2026-12-31", "2026-12-01T00:00:00Z", "2026-12-31T22:59:59.999Z"],
    ["2026-03-29", "2026-12-01T00:00:00Z", "2026-03-29T21:59:59.999Z"],
    ["2028-02-29", "2026-12-01T00:00:00Z", "2028-02-29T22:59:59.999Z"],
    ["2026-11-21 14:30", "2026-12-01T00:00:00Z", "2026-11-21T13:30:59.999Z"],
    ["2026-11-21T14:30", "2026-12-01T00:00:00Z", "2026-11-21T13:30:59.999Z"],
    ["2026-11-21 14:30:05", "2026-12-01T00:00:00Z", "2026-11-21T13:30:05.999Z"],
    ["2026-11-21T14:30:05.123Z", "2026-12-01T00:00:00Z", "2026-11-21T14:30:05.123Z"],
    ["2026-11-21t14:30z", "2026-12-01T00:00:00Z", "2026-11-21T14:30:59.999Z"],
    ["2026-11-21T14:30:05.5+05:30", "2026-12-01T00:00:00Z", "2026-11-21T09:00:05.500Z"],
    ["2026-11-21 14:30 ", "2026-12-01T00:00:00Z", "2026-11-21T13:30:59.999Z"],
    ["2026-11-21T00:15-0130", "2026-12-01T00:00:00Z", "2026-11-21T01:45:59.999Z"],
    // The clock shows 02:30 twice on that day: the later one, which is winter time.
    ["2026-10-25 02:30", "2026-12-01T00:00:00Z", "2026-10-25T01:30:59.999Z"],
    ["today", "2026-11-21T12:00:00Z", "2026-11-21T22:59:59.999Z"],
    ["yesterday", "2026-03-01T12:00:00Z", "2026-02-28T22:59:59.999Z"],
    // It is past midnight in Berlin.
    ["Yesterday", "2026-06-30T23:30:00Z", "2026-06-30T21:59:59.999Z"],
    ["2h ago", "2026-11-21T12:00:00Z", "2026-11-21T10:00:00.000Z"],
    ["90 minutes ago", "2026-11-21T12:00:00Z", "2026-11-21T10:30:00.000Z"],
    ["30s ago", "2026-11-21T12:00:00Z", "2026-11-21T11:59:30.000Z"],
    ["3 days ago", "2026-11-21T12:00:00Z", "2026-11-18T12:00:00.000Z"],
    // A day of 25 hours lies between: the same time on the clock.
    ["1 day ago", "2026-10-25T11:00:00Z", "2026-10-24T10:00:00.000Z"],
    ["24 hours ago", "2026-10-25T11:00:00Z", "2026-10-24T11:00:00.000Z"],
    ["1w ago", "2026-11-21T12:00:00Z", "2026-11-14T12:00:00.000Z"],
    ["1 month ago", "2026-03-31T12:00:00Z", "2026-02-28T13:00:00.000Z"],
    ["2 months ago", "2026-01-15T12:00:00Z", "2025-11-15T12:00:00.000Z"],
    ["1 year ago", "2028-02-29T12:00:00Z", "2027-02-28T12:00:00.000Z"],
  ];
  for (const [text, now, utc] of cases)
    it(`${text} at ${now} is ${utc}`, () => {
      const ms = parseVersionTime(text, new Date(now));
      assert.equal(ms === undefined ? "no time" : new Date(ms).toISOString(), utc);
    });

  const others = [
    "", "2026", "2026-13-01", "2026-02-30", "2027-02-29", "2026-11-21 24:00", "2026-11-21 12:60", "2026-11-21 1:30",
    "0000-00-00", "-3 days ago", "3 days", "days ago", "99999999 days ago", "999999 years ago", "three days ago",
    "tomorrow", "latest", "2026-11-21Z", "2026-11-21 14:30 +9",
  ]; // prettier-ignore
  for (const text of others)
    it(`${JSON.stringify(text)} is no time`, () => {
      assert.equal(parseVersionTime(text, new Date("2026-11-21T12:00:00Z")), undefined);
    });
});
