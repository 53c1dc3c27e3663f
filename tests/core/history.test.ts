// SPDX-License-Identifier: Apache-2.0
// The rings behind the page: what was added when, whatever the samples' moments and the counters do.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { History, historyCounters, historyGauges, type Totals } from "../../src/core/history.ts";

function totals(changes: Partial<Totals> = {}): Totals {
  const zeros = Object.fromEntries([...historyCounters, ...historyGauges].map((name) => [name, 0]));
  return { ...(zeros as Totals), ...changes };
}

const hourMs = 3_600_000;

function sum(values: readonly (number | null)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0);
}

describe("a history", () => {
  test("has nothing before the first sample, and no column of what came before it", () => {
    const history = new History();
    expect(history.read("minute", 3, hourMs).series.accepted).toEqual([null, null, null]);
    history.sample(hourMs, totals({ accepted: 1000 }));
    history.sample(hourMs + 1000, totals({ accepted: 1007 }));
    expect(history.read("minute", 2, hourMs + 1000).series.accepted).toEqual([null, 7]);
  });

  test("shares what was added among the seconds that a late sample spans", () => {
    const history = new History();
    for (let turn = 0; turn <= 10; turn++) history.sample(hourMs + turn * 1003, totals({ relayed: turn * 1003 }));
    const { series, untilMs } = history.read("second", 10, hourMs + 10_030);
    expect(untilMs).toBe(hourMs + 10_000);
    expect(series.relayed).toEqual([1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000]);
  });

  test("a counter that starts from zero again has added what it says since", () => {
    const history = new History();
    history.sample(hourMs, totals({ droppedPackets: 500 }));
    history.sample(hourMs + 1000, totals({ droppedPackets: 600 }));
    history.sample(hourMs + 2000, totals({ droppedPackets: 3 }));
    history.sample(hourMs + 3000, totals({ droppedPackets: 4 }));
    expect(history.read("minute", 1, hourMs + 3000).series.droppedPackets).toEqual([104]);
  });

  test("a gate that goes takes its counts with it, and nothing is added", () => {
    const history = new History();
    for (const [turn, accepted] of [900, 1000, 400, 405].entries()) {
      history.sample(hourMs + turn * 1000, totals({ accepted }));
    }
    expect(history.read("minute", 1, hourMs + 3000).series.accepted).toEqual([105]);
  });

  test("a gauge is as it was last, and is not added up", () => {
    const history = new History();
    for (const [turn, activeBans] of [5, 9, 2].entries()) history.sample(hourMs + turn * 1000, totals({ activeBans }));
    expect(history.read("hour", 1, hourMs + 2000).series.activeBans).toEqual([2]);
  });

  test("a process that stood still leaves a gap, and nothing that was counted is lost", () => {
    const history = new History();
    history.sample(hourMs, totals());
    history.sample(hourMs + 1000, totals({ accepted: 1 }));
    history.sample(hourMs + 241_000, totals({ accepted: 6 }));
    expect(history.read("minute", 5, hourMs + 241_000).series.accepted).toEqual([1, null, null, null, 5]);
  });

  test("keeps a fixed number of slots, the newest", () => {
    const history = new History();
    for (let minute = 0; minute <= 3000; minute++) {
      for (const second of [0, 4]) history.sample(minute * 60_000 + second * 1000, totals({ bans: minute }));
    }
    const { series } = history.read("minute", 9999, 3000 * 60_000 + 4000);
    expect(series.bans.length).toBe(1439);
    expect(series.bans.at(-1)).toBe(1);
    expect(series.bans.at(0)).toBe(1);
  });

  test("adds up to what was counted, in each ring, for any moments and amounts", () => {
    const samples = fc.array(fc.tuple(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 0, max: 1000 })), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(samples, fc.integer({ min: 0, max: hourMs }), (steps, startMs) => {
        const history = new History();
        let [nowMs, accepted] = [startMs, 0];
        history.sample(nowMs, totals());
        for (const [laterMs, added] of steps) {
          nowMs += laterMs;
          accepted += added;
          history.sample(nowMs, totals({ accepted }));
        }
        // The running second is not told: one more sample ends it.
        history.sample(nowMs + 1000, totals({ accepted }));
        for (const step of ["second", "minute", "hour"] as const) {
          const { series } = history.read(step, 9999, nowMs + 1000);
          expect(Math.abs(sum(series.accepted) - accepted)).toBeLessThan(1);
        }
      }),
    );
  });
});
