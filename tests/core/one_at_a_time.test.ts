// SPDX-License-Identifier: Apache-2.0
// Who joins a run that goes on, and who waits for one that begins later.
import { expect, test } from "bun:test";
import { OneAtATime } from "../../src/core/one_at_a_time.ts";

test("runs never overlap: one is joined, another is waited for by who wants what came meanwhile", async () => {
  const runs: PromiseWithResolvers<void>[] = [];
  const work = new OneAtATime(() => {
    const run = Promise.withResolvers<void>();
    runs.push(run);
    return run.promise;
  });
  const first = work.run();
  expect(work.run()).toBe(first);
  const later = [work.runAnew(), work.runAnew()];
  expect(runs).toHaveLength(1);
  runs[0]?.resolve();
  await first;
  await new Promise(setImmediate);
  expect(runs).toHaveLength(2);
  runs[1]?.resolve();
  await Promise.all(later);
  await work.idle();
  expect(runs).toHaveLength(2);
});

test("a run that failed is told to those who wait for it, and the next one is another", async () => {
  let runs = 0;
  const work = new OneAtATime(async () => {
    runs++;
    if (runs === 1) throw new Error("no room");
  });
  const [failed, waited] = await Promise.allSettled([work.run(), work.idle()]);
  expect([failed.status, waited.status]).toEqual(["rejected", "rejected"]);
  await work.run();
  expect(runs).toBe(2);
});
