// SPDX-License-Identifier: MIT
/**
 * A recovery code: 160 random bits on paper.
 *
 *   CFR1-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX
 *
 * Crockford's base 32 (no I, L, O, U; case does not matter). The fifth character of each group checks the four before it
 * and the group's place: every single wrong character, and nearly every other slip, is named by its group.
 */

import { randomInt } from "node:crypto";
import { Refusal } from "../refusal";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const MARK = "CFR1";
const GROUPS = 8;
const DATA_CHARACTERS = 4;
/** Odd, so that no change of one character leaves the sum as it is. */
const WEIGHTS = [3, 5, 7, 9];
const looksLikeCode = /^\s*CFR1[\s-]/i;

export function makeRecoveryCode(): string {
  const groups = Array.from({ length: GROUPS }, (_, place) => {
    const data = Array.from({ length: DATA_CHARACTERS }, () => randomInt(ALPHABET.length));
    return [...data, checkOf(data, place)].map((value) => ALPHABET[value]).join("");
  });
  return [MARK, ...groups].join("-");
}

/** Whether a typed text means to be a recovery code. A passphrase never begins like one by accident. */
export function isRecoveryCode(text: string): boolean {
  return looksLikeCode.test(text);
}

/** The code as it was made, however it was typed. Refuses with `wrongPassphrase` and the group that is wrong. */
export function readRecoveryCode(text: string): string {
  const [, ...groups] = text
    .trim()
    .toUpperCase()
    .split(/[\s-]+/);
  const read = groups.map((group, place) => {
    const values = Array.from(group.replaceAll("O", "0").replace(/[IL]/g, "1"), (character) =>
      ALPHABET.indexOf(character),
    );
    const data = values.slice(0, DATA_CHARACTERS);
    if (
      values.length !== DATA_CHARACTERS + 1 ||
      values.includes(-1) ||
      checkOf(data, place) !== values[DATA_CHARACTERS]
    )
      throw mistyped(`group ${String(place + 1)} of the recovery code is mistyped`);
    return values.map((value) => ALPHABET[value]).join("");
  });
  if (read.length !== GROUPS)
    throw mistyped(
      `the recovery code has ${String(read.length)} groups behind ${MARK} instead of ${String(GROUPS)}`,
    );
  return [MARK, ...read].join("-");
}

function checkOf(data: readonly number[], place: number): number {
  const sum = data.reduce((total, value, at) => total + value * (WEIGHTS[at] ?? 1), 11 * (place + 1));
  return sum % ALPHABET.length;
}

function mistyped(message: string): Refusal {
  return new Refusal("wrongPassphrase", message, { hint: "Compare it with the sheet and type it again." });
}
