// SPDX-License-Identifier: MIT
/** What the shell says when a line fails: the same sentences as the command line, and the shell goes on. */

import { ExitStatus, type ExitStatusName } from "../exit-status";
import { Refusal, describeRefusal, fromFileError } from "../refusal";
import { inSources } from "../source-positions";

export interface Failure {
  kind: ExitStatusName;
  message: string;
}

/** Prints `thrown` to stderr, with the number of the line when it came from a script. */
export function reportFailure(
  thrown: unknown,
  options: { json: boolean; lineNumber?: number | undefined },
): Failure {
  const error = fromFileError(thrown, "a local file cannot be used");
  const { json, lineNumber } = options;
  const at = lineNumber === undefined ? "" : `line ${String(lineNumber)}: `;
  if (error instanceof Refusal) {
    if (json) {
      const line = lineNumber === undefined ? {} : { line: lineNumber };
      process.stderr.write(`${JSON.stringify({ ...describeRefusal(error), ...line })}\n`);
    } else {
      process.stderr.write(`coffer: error: ${at}${error.message}\n`);
      if (error.hint !== undefined) process.stderr.write(`coffer: hint: ${error.hint}\n`);
    }
    return { kind: error.kind, message: error.message };
  }
  const text = error instanceof Error ? inSources(error.stack ?? error.message) : String(error);
  if (json)
    process.stderr.write(
      `${JSON.stringify({ error: text, kind: "unexpected", status: ExitStatus.unexpected })}\n`,
    );
  else process.stderr.write(`coffer: error: ${at}something unexpected happened\n${text}\n`);
  return { kind: "unexpected", message: "something unexpected happened" };
}
