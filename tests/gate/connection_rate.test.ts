// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ConnectionRate } from "../../src/gate/connection_rate.ts";

const source = "192.0.2.1";

test("so many at once, and as many again within the period, evenly", () => {
  const rate = new ConnectionRate({ connections: 3, periodMs: 3000 });
  const admitted = (atMs: number) => rate.admits(source, atMs);
  expect([0, 0, 0, 0, 999].map(admitted)).toEqual([true, true, true, false, false]);
  expect([1000, 1000, 2000, 2500].map(admitted)).toEqual([true, false, true, false]);
  expect([10_000, 10_000, 10_000, 10_000].map(admitted)).toEqual([true, true, true, false]);
  expect(rate.admits("192.0.2.2", 0)).toBe(true);
});

test("never more than twice the number within a period, never fewer than one may have", () => {
  const times = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 100 });
  fc.assert(
    fc.property(times, fc.integer({ min: 1, max: 20 }), (gaps, connections) => {
      const rate = new ConnectionRate({ connections, periodMs: 1000 });
      const admitted: number[] = [];
      let nowMs = 0;
      for (const gap of gaps) {
        nowMs += gap;
        const within = admitted.filter((atMs) => atMs > nowMs - 1000).length;
        const isAdmitted = rate.admits(source, nowMs);
        if (isAdmitted) admitted.push(nowMs);
        if (within === 0) expect(isAdmitted).toBe(true);
        if (isAdmitted) expect(within).toBeLessThan(2 * connections);
      }
    }),
  );
});

test("whoever has been quiet for longest is forgotten, and without a limit all are admitted", () => {
  const rate = new ConnectionRate({ connections: 1, periodMs: 1000 }, 2);
  for (const who of ["a", "b", "c"]) expect(rate.admits(who, 0)).toBe(true);
  expect(["a", "c"].map((who) => rate.admits(who, 1))).toEqual([true, false]);
  rate.change(undefined);
  expect(rate.admits("c", 2)).toBe(true);
});
