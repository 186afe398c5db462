// SPDX-License-Identifier: MIT
/** Names of devices, relays, clients, keyholders and registries: they become file names, SAN URIs and host labels. */

import { hostname } from "node:os";
import { Refusal } from "./refusal";

const namePattern = /^[a-z0-9][a-z0-9-]{0,31}$/;

export function isName(text: string): boolean {
  return namePattern.test(text);
}

/** Returns `text` when it is a name, refuses it otherwise. `what` says what it names: "a device". */
export function requireName(text: string, what: string): string {
  if (isName(text)) return text;
  throw new Refusal("usage", `${JSON.stringify(text)} cannot name ${what}`, {
    hint: "A name is 1 to 32 characters of a-z, 0-9 and -, and does not start with -.",
  });
}

/** The nearest name to any text: "Anna's MacBook.local" gives "anna-s-macbook". Falls back when nothing is left. */
export function nameFrom(text: string, fallback: string): string {
  const name = text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[\u0300-\u036f]/gu, "")
    .replace(/\.(local|lan|home|localdomain)$/u, "")
    .replace(/[^a-z0-9]+/gu, "-")
    .replace(/^-+/u, "")
    .slice(0, 32)
    .replace(/-+$/u, "");
  return isName(name) ? name : fallback;
}

export function nameOfThisComputer(): string {
  return nameFrom(hostname(), "computer");
}
