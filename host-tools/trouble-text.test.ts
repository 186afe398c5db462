// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { Trouble } from "../firmware/protocol/trouble";
import { troubleRecord, troubleText } from "./trouble-text";

describe("what kept a device from its relay, in words", () => {
  const text = (code: number, count = 1, wasEarlier = false): string =>
    troubleText(troubleRecord({ code, wasEarlier, count, lastSeconds: 100 }), "cam1", 400);

  it("says what, how often and when, and what to look at", () => {
    assert.equal(
      text(Trouble.wifi, 3),
      "cam1 was kept from the relay: it had no connection to its Wi-Fi, or no address there (3 times in this start, " +
        "the last 5 min ago). If it comes again: are name and password right, is it 2.4 GHz, is it near enough?",
    );
    assert.match(text(Trouble.image, 0, true), /\(in a start before this one\).*`coffer device add cam1`/);
    assert.match(text(Trouble.rejected, 1, true), /\(1 time in this start, .*; in a start before this one\)/);
  });

  it("has a sentence of its own for each trouble, and one for what it does not know", () => {
    const texts = [...Object.values(Trouble), 15].map((code) => text(code));
    assert.equal(new Set(texts).size, Object.keys(Trouble).length + 1);
    assert.match(texts.at(-1) ?? "", /too old to know it/);
    assert.equal(troubleRecord({ code: 15, wasEarlier: false, count: 1, lastSeconds: 1 }).trouble, "unknown");
  });
});
