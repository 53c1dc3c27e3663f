// SPDX-License-Identifier: Apache-2.0
// One answer for many: nobody gets one that was made before they asked, and many are answered over many turns.
import { expect, test } from "bun:test";
import { Shared } from "../../src/status/shared.ts";

test("nobody is told what was true before they asked", async () => {
  let truth = 0;
  const shared = new Shared(2, () => truth);
  for (const now of [1, 2, 3, 4, 5]) {
    truth = now;
    expect(await shared.ask()).toBe(now);
  }
});

test("who asks first is answered at once, the others with one answer that is made after they asked", async () => {
  let made = 0;
  const shared = new Shared(2, () => ++made);
  const answers = Array.from({ length: 100 }, () => shared.ask());
  expect(made).toBe(1);
  expect(await Promise.all(answers)).toEqual([1, ...answers.slice(1).map(() => 2)]);
  expect(made).toBe(2);
});

test("who asks again and again does not have more made than there are rests", async () => {
  let made = 0;
  const restMs = 5;
  const shared = new Shared(restMs, () => ++made);
  const startMs = performance.now();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let asked = 0; asked < 10; asked++) await shared.ask();
    }),
  );
  expect(made).toBeGreaterThanOrEqual(10);
  // A timer may be a millisecond early, and no more.
  expect(made).toBeLessThanOrEqual(1 + (performance.now() - startMs) / (restMs - 1));
});

test("many who wait for the same answer get it over many turns of the event loop", async () => {
  const shared = new Shared(1, () => "answer");
  let turn = 0;
  let isOver = false;
  const tick = () => {
    turn++;
    if (!isOver) setImmediate(tick);
  };
  await shared.ask();
  const answered: number[] = [];
  const all = Array.from({ length: 100 }, async () => {
    await shared.ask();
    answered.push(turn);
  });
  setImmediate(tick);
  await Promise.all(all);
  isOver = true;
  const inOneTurn = Map.groupBy(answered, (at) => at)
    .values()
    .map(({ length }) => length);
  expect(Math.max(...inOneTurn)).toBeLessThanOrEqual(16);
});

test("what throws is told to all who asked, and nothing is wrong with the next answer", async () => {
  let isBroken = true;
  const make = () => {
    if (isBroken) throw new Error("broken");
    return "whole";
  };
  for (const shared of [new Shared<string>(1, make), new Shared<string>(1, async () => make())]) {
    isBroken = true;
    const all = await Promise.allSettled(Array.from({ length: 40 }, () => shared.ask()));
    expect(all.map(({ status }) => status)).toEqual(all.map(() => "rejected"));
    isBroken = false;
    expect(await shared.ask()).toBe("whole");
  }
});
