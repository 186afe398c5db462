// SPDX-License-Identifier: MIT
/** Which versions may be forgotten: never a tagged one, nor the last one of a computer, whatever a policy says. */

import { Refusal } from "../refusal";
import type { Version } from "./history";
import type { ForgetPolicy, VersionInfo } from "./repository-api";
import { applyPolicy } from "./version-policy";

/** Why each version is kept, newest first; without a reason it is to be forgotten. */
export function forgetPlan(options: {
  versions: readonly Version[];
  policy: ForgetPolicy;
  /** From name to the id of a version. */
  tags: ReadonlyMap<string, string>;
  current: ReadonlySet<string>;
}): { version: Version; reasons: string[] }[] {
  const { versions, policy, tags, current } = options;
  const missing = policy.tags?.find((name) => name !== "any" && !tags.has(name));
  if (missing !== undefined)
    throw new Refusal("unknownVersion", `there is no tag ${JSON.stringify(missing)}`, {
      hint: "`coffer tag --list` shows all.",
    });
  // By time, as a person counts; clocks of several computers may disagree with the order in which they wrote.
  const sorted = [...versions].sort((a, b) => b.body.timeMs - a.body.timeMs);
  const reasons = applyPolicy(
    sorted.map(({ body }) => body.timeMs),
    policy,
  );
  return sorted.map((version, at) => {
    const names = [...tags].filter(([, id]) => id === version.id).map(([name]) => name);
    return {
      version,
      reasons: [
        ...(reasons[at] ?? []),
        ...names.sort().map((name) => `tag ${name}`),
        ...(current.has(version.id) ? [`current on ${version.writer}`] : []),
      ],
    };
  });
}

/** For a version that was named. */
export function requireForgettable(version: VersionInfo, current: ReadonlySet<string>): void {
  const [tag] = version.tags;
  if (tag !== undefined)
    throw new Refusal("versionInUse", `the version ${version.shortId} has the tag ${tag}`, {
      hint: `Take the tag away first, with \`coffer tag --remove ${tag}\`.`,
    });
  if (current.has(version.id))
    throw new Refusal(
      "versionInUse",
      `the version ${version.shortId} is the current one of ${version.writer}`,
      { hint: "It can be forgotten when that computer has made a newer one." },
    );
}
