// SPDX-License-Identifier: MIT
/** Files that a push or pull had to leave out while the rest went on: each is named, and the exit status tells. */

import { Refusal } from "./refusal";
import { type Output, printable } from "./render";
import type { Problem } from "./repository/repository";
import { plural } from "./transfer-progress";

const maxShown = 20;

/** Throws when there is any; the status is that of the problems when they are of one kind, else `incomplete`. */
export function reportProblems(
  output: Output,
  problems: readonly Problem[],
  done: "stored" | "written",
): void {
  const [first] = problems;
  if (first === undefined) return;
  for (const { path, reason } of problems.slice(0, maxShown))
    output.warn(`${printable(path)}: ${printable(reason)}`);
  if (problems.length > maxShown) output.warn(`and ${String(problems.length - maxShown)} more`);
  const isOneKind = done === "written" && problems.every(({ kind }) => kind === first.kind);
  const text = `${plural(problems.length, "file")} could not be ${done}; everything else is`;
  const isDamage = problems.every(({ kind }) => kind === "corruptedBlob" || kind === "missingBlob");
  throw new Refusal(isOneKind ? first.kind : "incomplete", text, {
    hint:
      done === "stored"
        ? "Put right what the warnings name and push again; only what is missing is read and sent."
        : isDamage
          ? "What the warnings name is damaged on the device; push those files again from where they still are."
          : "Put right what the warnings name, or pull to another place; only what is missing is fetched.",
  });
}
