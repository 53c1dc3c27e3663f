// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { ServerStrikes } from "../../../src/core/bans/server_strikes.ts";
import { Strikes, strikeWindowMs } from "../../../src/core/bans/strikes.ts";

const minuteMs = 60_000;

/** A server that others use all the time, and a stranger who comes once a second. */
function visits(judge: ServerStrikes, count: number, startMs = 0): boolean[] {
  return Array.from({ length: count }, (_, index) => {
    const nowMs = startMs + index * 1000;
    judge.welcomed("friend", nowMs);
    return judge.refused("stranger", nowMs + 500);
  });
}

describe("a server that answers others and hangs up on one", () => {
  test("has it banned with the last strike, and its strikes begin anew", () => {
    expect(visits(new ServerStrikes(3), 7)).toEqual([false, false, true, false, false, true, false]);
  });

  test("strikes that are too old do not count", () => {
    const judge = new ServerStrikes(3);
    expect(visits(judge, 2)).toEqual([false, false]);
    expect(visits(judge, 2, strikeWindowMs + 1000)).toEqual([false, false]);
  });

  test("whom the server answers once has no strikes, and gets none for a day", () => {
    const judge = new ServerStrikes(3);
    visits(judge, 2);
    judge.welcomed("stranger", 3000);
    expect(visits(judge, 9, 200_000)).not.toContain(true);
  });
});

describe("nobody is banned", () => {
  test("by a server that answers nobody", () => {
    const judge = new ServerStrikes(3);
    for (let nowMs = 0; nowMs < 100 * minuteMs; nowMs += 1000) expect(judge.refused("somebody", nowMs)).toBe(false);
  });

  test("by a restart, however often a client comes during it, known or new", () => {
    const judge = new ServerStrikes(3);
    for (let restart = 0; restart < 5; restart++) {
      const startMs = restart * 20_000;
      judge.welcomed("friend", startMs);
      for (let visit = 1; visit < 50; visit++) {
        expect(judge.refused(`new ${restart}`, startMs + visit)).toBe(false);
        expect(judge.refused("friend", startMs + visit)).toBe(false);
      }
      judge.trouble(startMs + 100);
      judge.welcomed("friend", startMs + 10_000);
    }
  });

  test("by one outage without any sign of it but that nobody is answered", () => {
    const judge = new ServerStrikes(3);
    judge.welcomed("friend", 0);
    for (let nowMs = 1; nowMs < 300_000; nowMs += 100) expect(judge.refused("new", nowMs)).toBe(false);
    // The server is back, and the client of before comes too early once more.
    judge.welcomed("friend", 300_000);
    expect(judge.refused("new", 300_001)).toBe(false);
  });

  test("while the server hangs up on friends too", () => {
    const judge = new ServerStrikes(3);
    judge.welcomed("other friend", 0);
    const banned = Array.from({ length: 60 }, (_, index) => {
      judge.refused("other friend", index * 1000);
      return visits(judge, 1, index * 1000 + 1)[0];
    });
    expect(banned).not.toContain(true);
    expect(visits(judge, 3, 60_000 + 2 * minuteMs)).toEqual([false, false, true]);
  });
});

test("strikes are kept of a bounded number of sources, the quietest is forgotten", () => {
  const strikes = new Strikes(3, 2);
  strikes.add("a", 0);
  strikes.add("b", 1);
  strikes.add("a", 2);
  strikes.add("c", 3);
  expect(strikes.lastMs("b")).toBeUndefined();
  expect([strikes.add("a", 4), strikes.add("c", 5)]).toEqual([true, false]);
});
