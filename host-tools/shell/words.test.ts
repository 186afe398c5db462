// SPDX-License-Identifier: MIT
import { deepEqual, equal, throws } from "node:assert/strict";
import { Refusal } from "../refusal";
import { type Quote, quoteWord, scanLine, splitWords } from "./words";

describe("words of a shell line", () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["", []],
    ["   \t ", []],
    ["ls", ["ls"]],
    ["  ls   -l\t/a ", ["ls", "-l", "/a"]],
    ["put 'My Photos' /a", ["put", "My Photos", "/a"]],
    ['put "My Photos"/2024', ["put", "My Photos/2024"]],
    ["put My\\ Photos", ["put", "My Photos"]],
    ["a''b", ["ab"]],
    ["''", [""]],
    ['""', [""]],
    ["'a\\b'", ["a\\b"]],
    ['"a\\"b\\\\c\\d"', ['a"b\\c\\d']],
    ["$'a\\nb\\t\\u{1F600}\\x41\\u00e9\\''", ["a\nb\t\u{1F600}Aé'"]],
    ["$'\\q\\u{zz}'", ["\\q\\u{zz}"]],
    ["a $HOME *", ["a", "$HOME", "*"]],
    ["ls # the rest", ["ls"]],
    ["ls a#b", ["ls", "a#b"]],
    ["# nothing", []],
    ["ls '#x'", ["ls", "#x"]],
    ["ls \\#x", ["ls", "#x"]],
  ];
  for (const [line, words] of cases)
    it(`reads ${JSON.stringify(line)} as ${JSON.stringify(words)}`, () => {
      deepEqual(splitWords(line), words);
    });

  for (const line of ["'a", '"a', "$'a", 'a "b\\"'])
    it(`refuses ${JSON.stringify(line)}, whose quote is open`, () => {
      throws(
        () => splitWords(line),
        (error) => error instanceof Refusal && error.kind === "usage",
      );
    });

  it("tells where the last word starts and whether it is still being typed", () => {
    deepEqual(scanLine("get 'My Ph").words.at(-1), { text: "My Ph", startIndex: 4 });
    equal(scanLine("get 'My Ph").openQuote, "'");
    equal(scanLine("get My").endsInWord, true);
    equal(scanLine("get My ").endsInWord, false);
    equal(scanLine("get My\\ ").endsInWord, true);
    equal(scanLine("get # My").endsInComment, true);
  });

  it("reads back every quoted word, whatever its characters and whichever quote was begun", () => {
    const quotes: readonly Quote[] = ["", "'", '"', "$'"];
    const texts = [
      "a",
      "",
      "a b",
      "it's",
      'say "x"',
      "back\\slash",
      "$HOME",
      "`x`",
      "~",
      "a~b",
      "#1",
      "*?[x]{y}!",
      "é😀",
    ];
    const hostile = ["\u001b[2J", "a\nb", "tab\tx", "\u202egpj.exe", "'\n'", "\\\n"];
    for (const text of [...texts, ...hostile])
      for (const quote of quotes) deepEqual(splitWords(quoteWord(text, quote)), [text], `${quote} ${text}`);
  });

  it("never puts a control character into a quoted word", () => {
    equal(/[\u0000-\u001f\u007f-\u009f]/.test(quoteWord("\u001b[2J\u009b1m\r\n")), false);
  });
});
