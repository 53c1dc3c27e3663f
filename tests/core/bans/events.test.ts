// SPDX-License-Identifier: Apache-2.0
// The ring of events, against a model that keeps everything.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Events, type GateEvent } from "../../../src/core/bans/events.ts";

function event(number: number): GateEvent {
  return { type: "upstream", atMs: number, upstream: `u${number}`, reachable: true, error: undefined };
}

test("from any number on, a follower hears what the ring holds and how many it does not", () => {
  const sizes = fc.record({
    capacity: fc.integer({ min: 1, max: 20 }),
    first: fc.constantFrom(0, 1, 7, 1_700_000_000_000_000),
    published: fc.integer({ min: 0, max: 60 }),
    behind: fc.integer({ min: -3, max: 70 }),
    limit: fc.integer({ min: 1, max: 25 }),
  });
  fc.assert(
    fc.property(sizes, ({ capacity, first, published, behind, limit }) => {
      const events = new Events(capacity, first);
      for (let number = 1; number <= published; number++) events.publish(event(number));
      expect(events.lastId).toBe(first + published);
      const unheard = Math.min(Math.max(0, behind), published);
      const lost = Math.max(0, unheard - capacity);
      const heard = events.after(first + published - behind, limit);
      const wanted = Array.from(
        { length: Math.min(limit, unheard - lost) },
        (_, at) => published - unheard + lost + at + 1,
      );
      expect(heard.events.map(({ event: { atMs } }) => atMs)).toEqual(wanted);
      expect(heard.events.map(({ id }) => id)).toEqual(wanted.map((number) => first + number));
      expect(heard.lost).toBe(lost);
      expect(heard.lastId).toBe(wanted.length > 0 ? first + (wanted.at(-1) ?? 0) : first + published);
    }),
    { numRuns: 2000 },
  );
});

test("followers who fall behind for ever hear each event once or have it counted as lost", () => {
  const events = new Events(16, 0);
  let [lastId, heard, lost] = [0, 0, 0];
  for (let round = 0; round < 1000; round++) {
    for (let count = 0; count < round % 40; count++) events.publish(event(round));
    const next = events.after(lastId, 8);
    heard += next.events.length;
    lost += next.lost;
    lastId = next.lastId;
  }
  for (let next = events.after(lastId, 8); next.events.length > 0; next = events.after(lastId, 8)) {
    heard += next.events.length;
    lastId = next.lastId;
  }
  expect(heard + lost).toBe(events.lastId);
  expect(lost).toBeGreaterThan(0);
});

test("who waits is woken once, by the next event, unless it took that back", () => {
  const events = new Events(4, 0);
  const woken: string[] = [];
  events.next(() => woken.push("first"));
  const takeBack = events.next(() => woken.push("second"));
  takeBack();
  events.publish(event(1));
  events.publish(event(2));
  expect(woken).toEqual(["first"]);
});
