// SPDX-License-Identifier: MIT
/** What the tests of logs have in common: a log of large entries, and its files. */
import assert from "node:assert/strict";
import { Refusal } from "../../firmware/core/refusal";
import { type StoreBench, randomBytes, sha256 } from "./store-bench";

export const LOG = sha256(Uint8Array.of(1));
export const OTHER = sha256(Uint8Array.of(2));
/** Entries of 3000 bytes in a segment. */
export const IN_SEGMENT = 21;

export function fill(bench: StoreBench, count: number, log = LOG): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const entry = randomBytes(i + 1, 3000);
    const outcome = bench.append(log, bench.logs.head(log).head, entry);
    assert.ok(outcome && !(outcome instanceof Refusal), JSON.stringify(outcome));
    return entry;
  });
}

export function pathOf(segment: number, log = LOG): string {
  return `logs/${Buffer.from(log).toString("hex")}-${segment.toString(16).padStart(8, "0")}`;
}

export function segmentsOf(bench: StoreBench): string[] {
  const names: string[] = [];
  const scan = bench.storage.scan("logs");
  for (let entry = scan.next(); entry; entry = scan.next()) names.push(`logs/${entry.name}`);
  return names.sort();
}

export function refused(action: () => unknown, code: number): Refusal {
  let outcome: unknown;
  try {
    outcome = action();
  } catch (error) {
    outcome = error;
  }
  assert.ok(outcome instanceof Refusal, String(outcome));
  assert.equal(outcome.code, code);
  return outcome;
}
