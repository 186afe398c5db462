// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { decodeJoinCode, encodeJoinCode } from "./join-code";

describe("the code of an enrolment", () => {
  const secret = Uint8Array.from(randomBytes(16));
  const code = (host: string, port: number): string => encodeJoinCode({ address: { host, port }, secret });

  it("comes back as it was, for every kind of address", () => {
    for (const host of ["192.0.2.7", "255.255.255.255", "2001:db8::7", "::1", "fd00:1:2:3:4:5:6:7"])
      for (const port of [1, 4433, 65535])
        assert.deepEqual(decodeJoinCode(code(host, port)), { address: { host, port }, secret });
  });

  it("is eight groups of five for an IPv4 address", () => {
    assert.match(code("192.0.2.7", 4433), /^([0-9A-HJKMNP-TV-Z]{5}-){7}[0-9A-HJKMNP-TV-Z]{5}$/);
  });

  it("may be typed in small letters, with blanks, and with the letters that look like digits", () => {
    const typed = code("192.0.2.7", 4433).toLowerCase().replaceAll("-", " ");
    const sloppy = ` ${typed.replaceAll("0", "o").replaceAll("1", "l")}\n`;
    assert.deepEqual(decodeJoinCode(sloppy).secret, secret);
  });

  it("has every single wrong letter and every exchange of neighbours told", () => {
    const whole = code("192.0.2.7", 4433).replaceAll("-", "");
    let unnoticed = 0;
    for (let at = 0; at < whole.length; at++) {
      for (const letter of "0123456789ABCDEFGHJKMNPQRSTVWXYZ") {
        if (letter === whole[at]) continue;
        if (isTaken(whole.slice(0, at) + letter + whole.slice(at + 1))) unnoticed++;
      }
      const exchanged = whole.slice(0, at) + (whole[at + 1] ?? "") + (whole[at] ?? "") + whole.slice(at + 2);
      if (exchanged !== whole && isTaken(exchanged)) unnoticed++;
    }
    // Of 1280 tries one slips through a checksum of 16 bits in fifty runs; two in one of five thousand.
    assert.ok(unnoticed <= 2, String(unnoticed));
  });

  it("refuses everything else in one sentence", () => {
    const whole = code("192.0.2.7", 4433);
    for (const text of [
      "",
      "-",
      "U",
      "\u{1f510}",
      whole.slice(0, -1),
      `${whole}0`,
      "0".repeat(40),
      "Z".repeat(100_000),
    ])
      assert.throws(() => decodeJoinCode(text), { kind: "usage" }, text.slice(0, 60));
  });

  function isTaken(text: string): boolean {
    try {
      decodeJoinCode(text);
      return true;
    } catch {
      return false;
    }
  }
});
