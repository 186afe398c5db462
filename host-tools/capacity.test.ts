// SPDX-License-Identifier: MIT
import { equal, throws } from "node:assert/strict";
import { capacityBytes } from "./capacity";

describe("--capacity", () => {
  const cases: readonly (readonly [string, number])[] = [
    ["1M", 2 ** 20],
    ["500G", 500 * 2 ** 30],
    ["1.5 TiB", 1.5 * 2 ** 40],
    ["750mb", 750 * 2 ** 20],
    ["2000000", 2_000_000],
  ];
  for (const [text, bytes] of cases)
    it(`takes ${text}`, () => {
      equal(capacityBytes(text), bytes);
    });

  for (const text of ["", "G", "0", "1000", "-5G", "5X", "1e9", "5 000 000", "9999999T"])
    it(`refuses ${JSON.stringify(text)}`, () => {
      throws(() => capacityBytes(text), { kind: "usage", message: /--capacity takes a size/ });
    });
});
