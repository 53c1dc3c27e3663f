// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { Reservoir } from "../../../src/core/learn/reservoir.ts";

test("everything is kept while there is room", () => {
  const reservoir = new Reservoir<number>(3, () => 0);
  for (const item of [1, 2, 3]) reservoir.add(item);
  expect([reservoir.items, reservoir.offered]).toEqual([[1, 2, 3], 3]);
});

test("beyond that every item has the same chance to be kept", () => {
  let state = 1;
  const random = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const kept = new Array<number>(100).fill(0);
  for (let round = 0; round < 2000; round++) {
    const reservoir = new Reservoir<number>(10, random);
    for (let item = 0; item < 100; item++) reservoir.add(item);
    expect(reservoir.items.length).toBe(10);
    for (const item of reservoir.items) kept[item] = (kept[item] ?? 0) + 1;
  }
  // 200 each, with a standard deviation of 13.4.
  expect(Math.min(...kept)).toBeGreaterThan(130);
  expect(Math.max(...kept)).toBeLessThan(270);
});
