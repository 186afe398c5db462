// SPDX-License-Identifier: MIT
/**
 * Times as people write them when they name a version. A time covers all that it names: a date means the end of that day, a
 * minute the end of that minute, so that what `coffer log` shows as 14:30 is found by 14:30. Without a zone it is local.
 */

const clock =
  /^(\d{4})-(\d{2})-(\d{2})(?:[ t](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(z|[+-]\d{2}:?\d{2})?)?$/;
const ago =
  /^(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?|months?|mo|y|years?)\s+ago$/;
const HOUR_MS = 3_600_000;

/** The last millisecond that `text` covers; undefined when it is no time. `now` is what "ago" counts from. */
export function parseVersionTime(text: string, now: Date): number | undefined {
  const words = text.trim().toLowerCase();
  if (words === "today") return endOfDay(now, 0);
  if (words === "yesterday") return endOfDay(now, -1);
  const back = ago.exec(words);
  if (back) return timeAgo(Number(back[1]), back[2] ?? "", now);
  const parts = clock.exec(words);
  return parts ? clockTime(parts) : undefined;
}

function endOfDay(now: Date, days: number): number {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days + 1).getTime() - 1;
}

/** Days and longer go by the calendar, so that the clock shows the same time then also across a change to summer time. */
function timeAgo(count: number, unit: string, now: Date): number | undefined {
  const then = new Date(now);
  if (unit === "mo" || unit.startsWith("month")) goBackMonths(then, count);
  else if (unit.startsWith("y")) goBackMonths(then, 12 * count);
  else if (unit.startsWith("w")) then.setDate(then.getDate() - 7 * count);
  else if (unit.startsWith("d")) then.setDate(then.getDate() - count);
  else
    then.setTime(
      then.getTime() - count * (unit.startsWith("h") ? HOUR_MS : unit.startsWith("m") ? 60_000 : 1000),
    );
  return Number.isNaN(then.getTime()) ? undefined : then.getTime();
}

/** A month before the 31st of March is the last of February. */
function goBackMonths(date: Date, months: number): void {
  const day = date.getDate();
  date.setDate(1);
  date.setMonth(date.getMonth() - months);
  date.setDate(Math.min(day, new Date(date.getFullYear(), date.getMonth() + 1, 0).getDate()));
}

function clockTime(parts: RegExpExecArray): number | undefined {
  const number = (at: number): number => Number(parts[at] ?? 0);
  const [year, month, day, hour, minute, second] = [1, 2, 3, 4, 5, 6].map(number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const isDay =
    month >= 1 && month <= 12 && day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
  if (!isDay || year < 1000 || hour > 23 || minute > 59 || second > 59) return undefined;
  if (parts[4] === undefined) return new Date(year, month - 1, day + 1).getTime() - 1;
  const fraction = parts[7];
  const milliseconds = fraction === undefined ? 0 : Number(fraction.padEnd(3, "0").slice(0, 3));
  const coveredMs = parts[6] === undefined ? 60_000 : fraction === undefined ? 1000 : 1;
  const zone = zoneMinutes(parts[8]);
  const start =
    zone === undefined
      ? localTime(year, month, day, hour, minute, second, milliseconds)
      : Date.UTC(year, month - 1, day, hour, minute, second, milliseconds) - zone * 60_000;
  return start + coveredMs - 1;
}

/** Of the two moments that a clock which is put back shows alike, the later. */
function localTime(year: number, month: number, ...rest: [number, number, number, number, number]): number {
  const first = new Date(year, month - 1, ...rest);
  const later = new Date(first.getTime() + HOUR_MS);
  return (later.getHours() === first.getHours() ? later : first).getTime();
}

function zoneMinutes(zone: string | undefined): number | undefined {
  if (zone === undefined) return undefined;
  if (zone === "z") return 0;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  return (zone.startsWith("-") ? -1 : 1) * (60 * hours + minutes);
}
