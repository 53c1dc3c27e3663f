// SPDX-License-Identifier: Apache-2.0
// Durations as people write them: 500ms, 30s, 10m, 1h30m, 7d.

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Ten years: beyond it a number is a slip of the finger, and nanoseconds still fit 63 bits. */
export const longestDurationMs = 3650 * 86_400_000;

/** @returns milliseconds, or undefined when the text is no duration from 1 ms to ten years. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(ms|s|m|h|d))+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g))
    totalMs += Number(amount) * (unitMs[unit ?? ""] ?? 0);
  return totalMs > 0 && totalMs <= longestDurationMs ? totalMs : undefined;
}

/** A ban's duration: like any, or `ever`. @returns milliseconds, Infinity, or undefined. */
export function parseBanDuration(text: string): number | undefined {
  return text === "ever" ? Number.POSITIVE_INFINITY : parseDuration(text);
}

/** To the millisecond, as it may stand in a file: `1h30m5s`. */
export function spellDuration(durationMs: number): string {
  let rest = durationMs;
  const parts = ["d", "h", "m", "s", "ms"].map((unit) => {
    const size = unitMs[unit] ?? 1;
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    return amount > 0 ? `${amount}${unit}` : "";
  });
  return parts.join("");
}

/** The two largest units: `9m58s`, `1h`, `250ms`. */
export function formatDuration(durationMs: number): string {
  if (durationMs === Number.POSITIVE_INFINITY) return "ever";
  const wholeMs = Math.max(0, Math.round(durationMs));
  if (wholeMs < 1000) return `${wholeMs}ms`;
  let rest = Math.round(wholeMs / 1000) * 1000;
  const parts: string[] = [];
  for (const unit of ["d", "h", "m", "s"]) {
    const size = unitMs[unit] ?? 1;
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount}${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join("");
}

const goUnitMs: Readonly<Record<string, number>> = { ...unitMs, us: 1e-3, µs: 1e-3, ns: 1e-6 };

/** As Go prints a time.Duration: `53m47.5s`, `-1.2s`. @returns milliseconds, or undefined. */
export function parseGoDuration(text: string): number | undefined {
  const [, sign, parts = ""] = /^(-?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+)$/.exec(text) ?? [];
  if (parts === "") return undefined;
  let totalMs = 0;
  for (const [, amount, unit = ""] of parts.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) {
    totalMs += Number(amount) * (goUnitMs[unit] ?? 0);
  }
  return Math.round(sign === "-" ? -totalMs : totalMs);
}
