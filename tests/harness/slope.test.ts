// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { createFractions } from "./random.ts";
import { slopeOf } from "./slope.ts";

/** A collector's saw, with noise. */
function memory(seconds: number, perMinute: number): number[] {
  const random = createFractions(7);
  return Array.from({ length: seconds }, (_, at) => 100 + (at % 7) + random() + (at / 60) * perMinute);
}

test("a leak is found in the saw of a collector, and none where there is none", () => {
  expect(slopeOf(memory(600, 0), 10).atLeast).toBeLessThan(0.1);
  const { perMinute, atLeast } = slopeOf(memory(600, 0.6), 10);
  expect(perMinute).toBeCloseTo(0.6, 1);
  expect(atLeast).toBeGreaterThan(0.4);
});
