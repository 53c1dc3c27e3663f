// SPDX-License-Identifier: Apache-2.0
// The rule by which a benchmark says that a figure has moved.
import { describe, expect, test } from "bun:test";
import { comparedWith, movesBetween } from "./compare.ts";
import type { Report, Row } from "./report.ts";

function report(samples: Row["samples"], better: Row["better"] = "higher", reference = "haproxy"): readonly Report[] {
  return [{ name: "proxy", method: [], reference, rows: [{ metric: "ping-pong", unit: "1/s", better, samples }] }];
}

const before = report({ ttgate: [90, 100, 110], haproxy: [100, 100, 100] });

describe("a figure", () => {
  test.each([
    ["inside the samples of before", [108, 109, 109], [100, 100, 100]],
    ["whose samples reach the median of before", [99, 130, 140], [100, 100, 100]],
    ["on a machine that is twice as fast", [180, 200, 220], [200, 200, 200]],
    ["on a machine that is slower for a round", [90, 50, 105], [100, 50, 100]],
  ])("%s has not moved", (_, ttgate, haproxy) => {
    expect(movesBetween(before, report({ ttgate, haproxy }))).toEqual([]);
  });

  test("outside of them has moved, to the better or the worse", () => {
    expect(movesBetween(before, report({ ttgate: [70, 75, 80], haproxy: [100, 100, 100] }))).toEqual([
      { bench: "proxy", metric: "ping-pong", subject: "ttgate", before: 1, after: 0.75, isBetter: false },
    ]);
    expect(movesBetween(before, report({ ttgate: [150, 140, 160], haproxy: [100, 100, 100] }))).toMatchObject([
      { after: 1.5, isBetter: true },
    ]);
    const [least, more] = [report({ ttgate: [5, 5, 5] }, "lower"), report({ ttgate: [6, 6, 6] }, "lower")];
    expect(movesBetween(least, more)).toMatchObject([{ before: 5, after: 6, isBetter: false }]);
  });

  test("that always is the same has moved by more than 5 %, or 25 % of one sample, or not at all", () => {
    const same = (value: number) => report({ ttgate: [value, value, value] });
    expect(movesBetween(same(100), same(104))).toEqual([]);
    expect(movesBetween(same(100), same(106))).toMatchObject([{ after: 106 }]);
    expect(movesBetween(report({ ttgate: [100] }), report({ ttgate: [124] }))).toEqual([]);
    expect(movesBetween(report({ ttgate: [100] }), report({ ttgate: [126] }))).toMatchObject([{ after: 126 }]);
    expect(movesBetween(report({ ttgate: [0, 0] }), report({ ttgate: [1, 1] }))).toMatchObject([
      { before: 0, after: 1 },
    ]);
  });

  test("beside a limit is compared as it is, and the limit not at all", () => {
    const [one, other] = [
      { ttgate: [1], limit: [3] },
      { ttgate: [2], limit: [4] },
    ].map((samples) => report(samples, "lower", "limit")) as [readonly Report[], readonly Report[]];
    expect(movesBetween(one, other)).toMatchObject([{ subject: "ttgate", before: 1, after: 2, isBetter: false }]);
  });

  test("of a row or benchmark that was not there before is not compared", () => {
    expect(movesBetween([], before)).toEqual([]);
    expect(comparedWith([], before)).toStartWith("There is no baseline");
    expect(comparedWith(before, before)).toStartWith("Since the baseline nothing has moved.");
  });
});
