// SPDX-License-Identifier: MIT
/**
 * A line of the shell as words, quoted like in sh: 'all literal', "with \" and \\", back\ slash, and $'\n \t \u{e9}'
 * for what cannot be typed. A word that starts with # begins a comment. Nothing is expanded: no variables, no globs.
 */

import { Refusal } from "../refusal";
import { printable } from "../render";

/** Which quotes a word is in: none, single, double, or $'. */
export type Quote = "" | "'" | '"' | "$'";

export interface Word {
  text: string;
  /** Where the word starts in the line, quotes included. */
  startIndex: number;
}

export interface ScannedLine {
  words: Word[];
  /** The quote that is open where the line ends. */
  openQuote: Quote;
  /** True when the line ends inside a word, so that more typing would prolong it. */
  endsInWord: boolean;
  /** True when the line ends in a comment. */
  endsInComment: boolean;
}

const blank = /\s/;
const ansiEscape = /^(?:x([0-9a-f]{1,2})|u\{([0-9a-f]{1,6})\}|u([0-9a-f]{4})|([ntr0e\\'"]))/i;
const ansiCharacters: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", 0: "\0", e: "\u001b" };

/** Reads the line as far as it goes: a quote may be left open, as it is while a person types. */
export function scanLine(line: string): ScannedLine {
  const words: Word[] = [];
  let index = 0;
  let openQuote: Quote = "";
  let word: Word | undefined;
  while (index < line.length) {
    const character = line.charAt(index);
    if (word === undefined) {
      if (blank.test(character)) {
        index += 1;
        continue;
      }
      if (character === "#") return { words, openQuote: "", endsInWord: false, endsInComment: true };
      word = { text: "", startIndex: index };
      words.push(word);
    }
    if (openQuote === "") {
      if (blank.test(character)) word = undefined;
      else if (character === "'" || character === '"') openQuote = character;
      else if (line.startsWith("$'", index)) {
        openQuote = "$'";
        index += 1;
      } else if (character === "\\") {
        index += 1;
        word.text += line.charAt(index);
      } else word.text += character;
      index += 1;
    } else if (character === closing(openQuote)) {
      openQuote = "";
      index += 1;
    } else {
      const { text, length } = inQuotes(line, index, openQuote);
      word.text += text;
      index += length;
    }
  }
  return { words, openQuote, endsInWord: word !== undefined, endsInComment: false };
}

/** The words of a finished line. */
export function splitWords(line: string): string[] {
  const { words, openQuote } = scanLine(line);
  if (openQuote !== "")
    throw new Refusal("usage", `a ${openQuote} is not closed`, {
      hint: "Close the quote, or write \\ before a quote that belongs to a name.",
    });
  return words.map(({ text }) => text);
}

/** One character inside quotes, or one escape, and how much of the line it takes. */
function inQuotes(line: string, index: number, quote: Quote): { text: string; length: number } {
  const character = line.charAt(index);
  const next = line.charAt(index + 1);
  if (character !== "\\" || quote === "'") return { text: character, length: 1 };
  if (quote === '"')
    return '"\\$`'.includes(next) ? { text: next, length: 2 } : { text: character, length: 1 };
  const match = ansiEscape.exec(line.slice(index + 1));
  if (match === null) return { text: character, length: 1 };
  const [whole, byte, codePoint, unit, letter = ""] = match;
  const hex = byte ?? codePoint ?? unit;
  const length = 1 + whole.length;
  if (hex === undefined) return { text: ansiCharacters[letter.toLowerCase()] ?? letter, length };
  const value = Number.parseInt(hex, 16);
  return { text: value <= 0x10ffff ? String.fromCodePoint(value) : "\ufffd", length };
}

function closing(quote: Quote): string {
  return quote === '"' ? '"' : "'";
}

/**
 * `text` so that `splitWords` gives it back as one word. `quote` is the one a person has typed already; with "" the
 * characters that need it get a backslash, so that names with a common beginning keep it.
 */
export function quoteWord(text: string, quote: Quote = "", isFinished = true): string {
  if (quote === "$'" || printable(text) !== text) return `$'${ansiQuoted(text)}${isFinished ? "'" : ""}`;
  if (quote === "'" && !text.includes("'")) return `'${text}${isFinished ? "'" : ""}`;
  if (quote !== "") return `"${text.replace(/["\\$`]/g, "\\$&")}${isFinished ? '"' : ""}`;
  if (text === "") return "''";
  return text.replace(/[\s'"\\$`#&|;<>()*?[\]{}!~]/gu, (character, index: number) =>
    character === "~" && index > 0 ? character : `\\${character}`,
  );
}

function ansiQuoted(text: string): string {
  return printable(text.replace(/[\\']/g, "\\$&"));
}
