// SPDX-License-Identifier: MIT
/** `--at VERSION`: for commands that read, an older version in the place of what is there now. */

import { formatMoment } from "./listing/version-format";
import type { Output } from "./render";
import type { Repository } from "./repository/repository";

export const atOption = {
  type: "string",
  requiresArg: true,
  describe: "As it was then: a version's id, a tag, latest, or a time such as 2026-11-21 or '3 days ago'",
} as const;

/** A name for the version that does not depend on the clock any more; nothing for what is there now. */
export async function resolveAt(
  repository: Repository,
  at: string | undefined,
  output: Output,
): Promise<string | undefined> {
  if (at === undefined || at === "latest") return undefined;
  const { id, shortId, timeMs, writer } = await repository.versions.find(at);
  output.note(`version ${shortId} of ${formatMoment(timeMs)}, by ${writer}`);
  return id;
}
