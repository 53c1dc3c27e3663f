// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LatencyHistogram, newBanCounters } from "../../src/core/counters.ts";

test("counters start at nothing and are one's own", () => {
  const [one, other] = [newBanCounters(), newBanCounters()];
  const { bansByProtocol, ...numbers } = one;
  expect(Object.values(numbers).every((value) => value === 0)).toBe(true);
  one.bansTotal++;
  bansByProtocol.set("http", 1);
  expect([other.bansTotal, other.bansByProtocol.size]).toEqual([0, 0]);
});

describe("the histogram", () => {
  test("counts what is at or below each bound, as Prometheus wants it", () => {
    const latencies = fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { maxLength: 100 });
    fc.assert(
      fc.property(latencies, (list) => {
        const histogram = new LatencyHistogram();
        for (const seconds of list) histogram.observe(seconds);
        for (const { boundSeconds, count } of histogram.buckets()) {
          expect(count).toBe(list.filter((seconds) => seconds <= boundSeconds).length);
        }
        expect(histogram.count).toBe(list.length);
        expect(histogram.sumSeconds).toBeCloseTo(
          list.reduce((sum, seconds) => sum + seconds, 0),
          6,
        );
      }),
    );
  });

  test("takes a value on a bound into that bound, and beyond the last into none", () => {
    const histogram = new LatencyHistogram();
    histogram.observe(0.001);
    histogram.observe(7);
    const buckets = histogram.buckets();
    expect(buckets.find(({ boundSeconds }) => boundSeconds === 0.0005)?.count).toBe(0);
    expect(buckets.find(({ boundSeconds }) => boundSeconds === 0.001)?.count).toBe(1);
    expect(buckets.at(-1)?.count).toBe(1);
    expect(histogram.count).toBe(2);
  });

  test("has the promised millisecond among its bounds, and the bounds ascend", () => {
    const bounds = new LatencyHistogram().buckets().map(({ boundSeconds }) => boundSeconds);
    expect(bounds).toContain(0.001);
    expect(bounds).toEqual(bounds.toSorted((a, b) => a - b));
  });
});
