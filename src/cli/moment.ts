// SPDX-License-Identifier: Apache-2.0
// A moment as people write it for --until: RFC 3339, the same without a zone in the host's own time, a time of day,
// or seconds since 1970 as date +%s prints them.

export const momentForms =
  "2026-11-29T18:30:00Z, 2026-11-29T18:30:00+01:00, 2026-11-29 18:30, 2026-11-29, 18:30 or @1796149800";

/**
 * @param nowMs Unix time: a time of day is the next one.
 * @returns Unix time in milliseconds; undefined when the text is none of these, or there is no such day or hour.
 */
export function parseMoment(text: string, nowMs: number): number | undefined {
  const [, seconds] = /^@?(\d{9,11})$/.exec(text) ?? [];
  if (seconds !== undefined) return Number(seconds) * 1000;
  const [, clock] = /^(\d{2}:\d{2}(?::\d{2})?)$/.exec(text) ?? [];
  if (clock !== undefined) return nextClock(clock, nowMs);
  const [, day, time = "00:00", zone] =
    /^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)([Zz]|[+-]\d{2}:\d{2})?)?$/.exec(text) ?? [];
  if (day === undefined) return undefined;
  const wall = Date.parse(`${day}T${withSeconds(time)}Z`);
  // Of the 30th of February another day would be made.
  if (!Number.isFinite(wall) || new Date(wall).toISOString().slice(0, 10) !== day) return undefined;
  const atMs = Date.parse(`${day}T${withSeconds(time)}${zone?.toUpperCase() ?? ""}`);
  return Number.isFinite(atMs) ? atMs : undefined;
}

function withSeconds(time: string): string {
  return time.length === 5 ? `${time}:00` : time;
}

function nextClock(clock: string, nowMs: number): number | undefined {
  const [hour = 24, minute = 60, second = 0] = clock.split(":").map(Number);
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const today = new Date(nowMs).setHours(hour, minute, second, 0);
  // Not 24 hours: days of 23 and of 25 hours exist.
  return today > nowMs ? today : new Date(today).setDate(new Date(today).getDate() + 1);
}
