// SPDX-License-Identifier: MIT
/** What every refusal of the command line has to be: one sentence, a remedy, its own exit status, nothing on stdout. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { ExitStatus, type ExitStatusName } from "../../host-tools/exit-status";
import type { Finished } from "./coffer-process";

export function requireRefused(finished: Finished, kind: ExitStatusName, sentence: RegExp): void {
  const { status, stdout, stderr } = finished;
  equal(status, ExitStatus[kind], `expected ${kind}, got ${String(status)}: ${stderr}`);
  const lines = stderr.trimEnd().split("\n");
  const errors = lines.filter((line) => line.startsWith("coffer: error: "));
  equal(errors.length, 1, stderr);
  const [error = ""] = errors;
  match(error, sentence);
  ok(error.length <= 260, `it is long: ${error}`);
  ok(!/\.$|\bat .*\(|undefined|\[object/.test(error), `it is no sentence for a person: ${error}`);
  ok(
    lines.every((line) => /^coffer: (error|hint|warning): |^\S+: .*trying again$/.test(line)),
    stderr,
  );
  ok(lines.filter((line) => line.startsWith("coffer: hint: ")).length <= 1, stderr);
  equal(stdout, "");
}

export function requireRefusedJson(finished: Finished, kind: ExitStatusName): void {
  const record = JSON.parse(finished.stderr.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
  deepEqual(
    [finished.status, record["kind"], record["status"], typeof record["error"]],
    [ExitStatus[kind], kind, ExitStatus[kind], "string"],
  );
}
