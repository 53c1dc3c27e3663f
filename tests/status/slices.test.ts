// SPDX-License-Identifier: Apache-2.0
// Long answers are made in turns: one piece of one of them between two looks at the sockets.
import { expect, test } from "bun:test";
import { Slices } from "../../src/status/slices.ts";

test("however many are at work, a turn of the event loop holds one piece", async () => {
  const slices = new Slices();
  const turns: number[] = [];
  let turn = 0;
  let isOver = false;
  const tick = () => {
    turn++;
    if (!isOver) setImmediate(tick);
  };
  function* work(pieces: number) {
    for (let piece = 0; piece < pieces; piece++) {
      turns.push(turn);
      yield;
    }
    return pieces;
  }
  setImmediate(tick);
  const results = await Promise.all([5, 20, 3].map((pieces) => slices.run(work(pieces))));
  isOver = true;
  expect(results).toEqual([5, 20, 3]);
  expect(turns.length).toBe(28);
  // The first piece is made where it is asked for.
  expect(new Set(turns).size).toBe(28);
});

test("what throws is told to who asked, and stops nobody else", async () => {
  const slices = new Slices();
  function* bad() {
    yield;
    throw new Error("broken");
  }
  function* good() {
    yield;
    yield;
    return 7;
  }
  const [first, second] = await Promise.allSettled([slices.run(bad()), slices.run(good())]);
  expect(first.status).toBe("rejected");
  expect(second).toEqual({ status: "fulfilled", value: 7 });
  expect(await slices.run(good())).toBe(7);
});

test("too many are refused, and there is room again afterwards", async () => {
  const slices = new Slices();
  function* work() {
    yield;
    yield;
  }
  const all = Array.from({ length: 65 }, () => slices.run(work()));
  expect(slices.hasRoom).toBe(false);
  await Promise.all(all);
  expect(slices.hasRoom).toBe(true);
});

test("of a hundred who ask at once each has a turn of his own, and one alone does not wait", async () => {
  const slices = new Slices();
  let turn = 0;
  let isOver = false;
  const tick = () => {
    turn++;
    if (!isOver) setImmediate(tick);
  };
  setImmediate(tick);
  const turns = await Promise.all(Array.from({ length: 100 }, () => slices.turn().then(() => turn)));
  expect(new Set(turns).size).toBe(100);
  expect(turns[0]).toBe(0);
  expect(turns).toEqual(turns.toSorted((a, b) => a - b));
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  const before = turn;
  await slices.turn();
  expect(turn).toBe(before);
  isOver = true;
});
