// SPDX-License-Identifier: MIT
/**
 * Which versions a policy keeps, and why. Newest first, each rule keeps the newest version of each of its spans (days, ISO
 * weeks, months, years, all in local time) until its number is used up; a rule with numbers left at the end keeps the
 * oldest version too, so that history reaches as far back as it can. The rules add up: what any of them keeps stays.
 */

export interface KeepPolicy {
  last?: number | undefined;
  daily?: number | undefined;
  weekly?: number | undefined;
  monthly?: number | undefined;
  yearly?: number | undefined;
}

interface Rule {
  left: number;
  /** The same for all versions of one span. */
  span: (time: Date, at: number) => string;
  name: string;
  latest: string | undefined;
}

/** For each time, newest first, the reasons why it is kept; none: the policy lets it go. */
export function applyPolicy(timesMs: readonly number[], policy: KeepPolicy): string[][] {
  const rule = (name: string, count: number | undefined, span: Rule["span"]): Rule => ({
    left: count ?? 0,
    span,
    name,
    latest: undefined,
  });
  const rules = [
    rule("last", policy.last, (_, at) => String(at)),
    rule("daily", policy.daily, (time) => `${monthOf(time)}-${String(time.getDate())}`),
    rule("weekly", policy.weekly, weekOf),
    rule("monthly", policy.monthly, monthOf),
    rule("yearly", policy.yearly, (time) => String(time.getFullYear())),
  ];
  return timesMs.map((timeMs, at) => {
    const reasons: string[] = [];
    const time = new Date(timeMs);
    for (const each of rules) {
      if (each.left === 0) continue;
      const span = each.span(time, at);
      const isOldest = at === timesMs.length - 1;
      if (span === each.latest && !isOldest) continue;
      reasons.push(span === each.latest ? `oldest ${each.name}` : each.name);
      each.latest = span;
      each.left--;
    }
    return reasons;
  });
}

function monthOf(time: Date): string {
  return `${String(time.getFullYear())}-${String(time.getMonth() + 1)}`;
}

/** ISO 8601: a week begins on Monday and belongs to the year that its Thursday is in. */
function weekOf(time: Date): string {
  const thursday = new Date(Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()));
  thursday.setUTCDate(thursday.getUTCDate() + 3 - ((thursday.getUTCDay() + 6) % 7));
  const year = thursday.getUTCFullYear();
  const days = (thursday.getTime() - Date.UTC(year, 0, 1)) / 86_400_000;
  return `${String(year)}-w${String(Math.floor(days / 7) + 1)}`;
}
