// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { isSafeName, toByteString, toText } from "./byte-names";
import { conflictName } from "./conflict-name";

describe("the name of a conflicting version", () => {
  const origin = { computer: "laptop", timeMs: Date.UTC(2026, 10, 21, 23, 59) };
  const named = (name: string, attempt = 1): string =>
    toText(conflictName(toByteString(name), origin, attempt));

  it("keeps the extension at the end", () => {
    assert.equal(named("name.txt"), "name (conflict from laptop, 2026-11-21).txt");
    assert.equal(named("name.txt", 2), "name (conflict from laptop, 2026-11-21) 2.txt");
    assert.equal(named("a.tar.gz"), "a.tar (conflict from laptop, 2026-11-21).gz");
    assert.equal(named("plain"), "plain (conflict from laptop, 2026-11-21)");
    assert.equal(named(".bashrc"), ".bashrc (conflict from laptop, 2026-11-21)");
    assert.equal(
      named("Brief. Sehr geehrte Damen und Herren, ich"),
      `Brief. Sehr geehrte Damen und Herren, ich (conflict from laptop, 2026-11-21)`,
    );
  });

  it("has at most 255 bytes, without half a character", () => {
    for (const character of ["n", "\u00e9", "\u4e2d", "\u{1f510}"]) {
      const bytes = toByteString(character).length;
      for (let count = 1; count * bytes <= 251; count++) {
        const whole = conflictName(toByteString(`${character.repeat(count)}.txt`), origin, 12);
        assert.ok(isSafeName(whole), `${character} ${String(count)}: ${String(whole.length)} bytes`);
        const end = " (conflict from laptop, 2026-11-21) 12.txt";
        const kept = Math.min(count, Math.floor((255 - end.length) / bytes));
        assert.equal(toText(whole), character.repeat(kept) + end);
      }
    }
  });

  it("shortens names that are not UTF-8 as well", () => {
    const whole = conflictName("\x80".repeat(255), origin, 1);
    assert.equal(whole.length, 255);
    assert.ok(isSafeName(whole));
  });

  it("takes any name of a computer and any time", () => {
    for (const computer of ["a/b\0c\n", "\u4e2d".repeat(200), "", "\ud800"])
      for (const timeMs of [0, Number.MAX_SAFE_INTEGER]) {
        const name = conflictName("x.txt", { computer, timeMs }, 1);
        assert.ok(isSafeName(name) && !name.includes("\n"), JSON.stringify(name));
      }
  });
});
