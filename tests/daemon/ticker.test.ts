// SPDX-License-Identifier: Apache-2.0
import { afterEach, expect, test } from "bun:test";
import { Ticker } from "../../src/daemon/ticker.ts";
import { waitFor } from "../harness/wait.ts";

const log: string[] = [];
let ticker = new Ticker(
  (level, message) => log.push(`${level} ${message}`),
  () => 42,
);

afterEach(() => {
  ticker.stop();
  log.length = 0;
  ticker = new Ticker(
    (level, message) => log.push(`${level} ${message}`),
    () => 42,
  );
});

test("a part that throws is told once, tried again, and harms no other part", async () => {
  const seen = { good: 0, bad: 0 };
  let failure: Error | undefined = new Error("the map is frozen");
  ticker.add({
    name: "bad",
    everyMs: 5,
    run: () => {
      seen.bad++;
      if (failure !== undefined) throw failure;
    },
  });
  ticker.add({
    name: "good",
    everyMs: 5,
    run: (nowMs) => {
      if (nowMs === 42) seen.good++;
    },
  });
  ticker.start();
  await waitFor("both to run on", () => seen.bad > 3 && seen.good > 3);
  expect(ticker.failing()).toEqual([{ name: "bad", reason: "the map is frozen" }]);
  expect(log).toEqual(['error Periodic work "bad" fails: the map is frozen; it is tried again']);
  failure = undefined;
  await waitFor("its recovery", () => ticker.failing().length === 0);
  expect(log.at(-1)).toBe('info Periodic work "bad" succeeds again');
});

test("what a part rejects with, or throws that is no error, is caught too", async () => {
  ticker.add({ name: "async", everyMs: 5, run: () => Promise.reject(new Error("later")) });
  ticker.add({
    name: "text",
    everyMs: 5,
    run: () => {
      // biome-ignore lint/style/useThrowOnlyError: a library may do this
      throw "no error";
    },
  });
  ticker.start();
  await waitFor("both failures", () => ticker.failing().length === 2);
  expect(ticker.failing().map(({ reason }) => reason)).toEqual(["later", "no error"]);
});

test("a part that takes longer than its period is not started twice", async () => {
  let running = 0;
  let most = 0;
  let runs = 0;
  ticker.add({
    name: "slow",
    everyMs: 2,
    async run() {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 10));
      running--;
      runs++;
    },
  });
  ticker.start();
  await waitFor("three runs", () => runs >= 3);
  expect(most).toBe(1);
});

test("nothing runs after the stop", async () => {
  let runs = 0;
  ticker.add({ name: "part", everyMs: 2, run: () => void runs++ });
  ticker.start();
  await waitFor("a run", () => runs > 0);
  ticker.stop();
  const before = runs;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(runs).toBe(before);
});

test("parts that come together leave the event loop its turn between them", async () => {
  const at: number[] = [];
  let turns = 0;
  let isWatching = true;
  const watch = () => {
    turns++;
    if (isWatching) setImmediate(watch);
  };
  for (const name of ["first", "second", "third"]) {
    ticker.add({
      name,
      everyMs: 250,
      run() {
        at.push(turns);
        for (const untilMs = performance.now() + 1; performance.now() < untilMs; );
      },
    });
  }
  watch();
  ticker.start();
  try {
    await waitFor("a run of each", () => at.length >= 3);
  } finally {
    isWatching = false;
  }
  const [first = 0, second = 0, third = 0] = at;
  expect(second).toBeGreaterThan(first);
  expect(third).toBeGreaterThan(second);
});

test("a part whose turn would come after the stop does not run", async () => {
  const ran: string[] = [];
  ticker.add({
    name: "stops",
    everyMs: 250,
    run() {
      ran.push("stops");
      for (const untilMs = performance.now() + 1; performance.now() < untilMs; );
      ticker.stop();
    },
  });
  ticker.add({ name: "after", everyMs: 250, run: () => void ran.push("after") });
  ticker.start();
  await waitFor("the stop", () => ran.length > 0);
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  expect(ran).toEqual(["stops"]);
});
