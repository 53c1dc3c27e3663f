// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { Trial } from "../../../src/core/trial/trial.ts";
import { Turns } from "../../../src/core/trial/turns.ts";

const nobody = () => false;

describe("a trial", () => {
  test("hurts who would have been turned away and has proven good, in whichever order", () => {
    const trial = new Trial("p", 1000);
    trial.wouldTurnAway({ source: "192.0.2.1", reason: "http" });
    trial.wouldTurnAway({ source: "192.0.2.2", reason: "tls" });
    trial.isGood("192.0.2.3");
    expect(trial.hurt(nobody)).toEqual([]);
    trial.isGood("192.0.2.2");
    trial.wouldTurnAway({ source: "192.0.2.3", reason: "undecided" });
    const hurt = [
      { source: "192.0.2.2", reason: "tls" },
      { source: "192.0.2.3", reason: "undecided" },
    ];
    expect(trial.hurt(nobody)).toEqual(hurt);
    expect(trial.hurt((source) => source === "192.0.2.3")).toEqual(hurt.slice(0, 1));
  });

  test("a source is good after three connections that the profile expects and the server takes", () => {
    const trial = new Trial("p", 1000);
    trial.wouldTurnAway({ source: "192.0.2.1", reason: "http" });
    for (const count of [0, 0, 1]) {
      trial.isWelcome("192.0.2.1");
      expect(trial.hurt(nobody).length).toBe(count);
    }
  });

  test("goes on from what was saved, and is passed for what was asked for then and less", () => {
    const trial = new Trial("p", 1000);
    trial.observedMs = 400;
    trial.wouldTurnAway({ source: "192.0.2.1", reason: "http" });
    trial.isGood("192.0.2.1");
    const again = new Trial("p", 1000, trial.saved());
    expect([again.leftMs, again.isOver, again.isPassed]).toEqual([600, false, false]);
    expect(again.hurt(nobody)).toEqual([{ source: "192.0.2.1", reason: "http" }]);
    again.observedMs = 1000;
    again.passedMs = 1000;
    const saved = again.saved();
    expect([500, 1000, 3000].map((durationMs) => new Trial("p", durationMs, saved).isPassed)).toEqual([
      true,
      true,
      false,
    ]);
    expect(new Trial("p", 3000, saved).leftMs).toBe(2000);
  });

  test("a flood of strangers takes bounded room, and forgets nobody who was hurt when it is saved", () => {
    const trial = new Trial("p", 1000);
    for (let number = 0; number < 70_000; number++) trial.wouldTurnAway({ source: `s${number}`, reason: "http" });
    expect(trial.turnedAwaySources).toBe(65_536);
    trial.isGood("s6000");
    for (let number = 0; number < 70_000; number++) trial.wouldTurnAway({ source: `t${number}`, reason: "tls" });
    const { turnedAway, good } = trial.saved();
    expect([turnedAway.length, good]).toEqual([4097, ["s6000", "s6000"]]);
    expect(new Trial("p", 1000, trial.saved()).hurt(nobody)).toEqual([{ source: "s6000", reason: "http" }]);
  });
});

describe("a conversation", () => {
  function turns(times: readonly number[]): boolean[] {
    const turns = new Turns();
    return times.map((nowMs) => {
      turns.clientSpoke();
      return turns.serverSpoke(nowMs);
    });
  }

  test("is five answers to something new, or two over five seconds", () => {
    expect(turns([0, 1, 2, 3, 4])).toEqual([false, false, false, false, true]);
    expect(turns([0, 4999, 5000])).toEqual([false, false, true]);
  });

  test("is no long answer, and no server that speaks alone", () => {
    const alone = new Turns();
    alone.clientSpoke();
    expect(Array.from({ length: 20 }, (_, index) => alone.serverSpoke(index * 1000))).not.toContain(true);
  });
});
