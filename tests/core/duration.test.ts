// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatDuration,
  longestDurationMs,
  parseBanDuration,
  parseDuration,
  spellDuration,
} from "../../src/core/duration.ts";

describe("parseDuration", () => {
  test.each([
    ["1ms", 1],
    ["500ms", 500],
    ["30s", 30_000],
    ["10m", 600_000],
    ["1h30m", 5_400_000],
    ["7d", 604_800_000],
    ["1d2h3m4s5ms", 93_784_005],
    ["3650d", longestDurationMs],
    ["0h1s", 1000],
  ])("%s is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each([
    "",
    "0",
    "0s",
    "0ms",
    "10",
    "10 m",
    " 10m",
    "10m ",
    "10m\n",
    "-10m",
    "+10m",
    "1.5h",
    "1e3s",
    "10M",
    "10w",
    "10y",
    "m",
    "ever",
    "1h30",
    "3650d1ms",
    "99999999999999999999d",
    "１m",
  ])("%j is none", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});

describe("formatDuration", () => {
  test.each([
    [0, "0ms"],
    [-5, "0ms"],
    [250, "250ms"],
    [999.7, "1s"],
    [1000, "1s"],
    [1499, "1s"],
    [59_700, "1m"],
    [598_000, "9m58s"],
    [3_600_000, "1h"],
    [3_601_000, "1h"],
    [5_400_000, "1h30m"],
    [90_061_000, "1d1h"],
    [longestDurationMs, "3650d"],
    [Number.POSITIVE_INFINITY, "ever"],
  ])("%d ms is %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  test("is read again, and is off by less than its second unit", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: longestDurationMs }), (ms) => {
        const again = parseDuration(formatDuration(ms)) ?? Number.NaN;
        const unit = ms < 1000 ? 1 : ms < 3_600_000 ? 1000 : ms < 86_400_000 ? 60_000 : 3_600_000;
        expect(Math.abs(again - ms)).toBeLessThanOrEqual(unit);
      }),
    );
  });
});

test("spelled out, a duration is read again to the millisecond", () => {
  expect(spellDuration(93_784_005)).toBe("1d2h3m4s5ms");
  fc.assert(
    fc.property(fc.integer({ min: 1, max: longestDurationMs }), (ms) => {
      expect(parseDuration(spellDuration(ms))).toBe(ms);
    }),
  );
});

test("a ban may last for ever, nothing else may", () => {
  expect(parseBanDuration("ever")).toBe(Number.POSITIVE_INFINITY);
  expect(parseBanDuration("1h")).toBe(3_600_000);
  expect(parseBanDuration("Ever")).toBeUndefined();
  expect(parseDuration("ever")).toBeUndefined();
});
