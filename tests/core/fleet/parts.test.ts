// SPDX-License-Identifier: Apache-2.0
// The small parts of a fleet, each by itself.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EngineClock } from "../../../src/core/fleet/engine_clock.ts";
import { Lifts } from "../../../src/core/fleet/lifts.ts";
import { OwnDoings } from "../../../src/core/fleet/own_doings.ts";
import { Peer } from "../../../src/core/fleet/peer.ts";
import { formatRecord, parseRecord } from "../../../src/core/fleet/record.ts";

describe("the engine's clock", () => {
  test("is known by the sample with the shortest way", () => {
    const clock = new EngineClock();
    clock.sample(1000, 501_060, 1100);
    clock.sample(2000, 502_001, 2002);
    clock.sample(3000, 503_010, 3040);
    expect(clock.offsetMs).toBe(500_000);
  });

  test("is followed at once when it was set", () => {
    const clock = new EngineClock();
    for (let n = 0; n < 5; n++) clock.sample(n * 1000, n * 1000 + 10_000, n * 1000);
    clock.sample(9000, 9000 - 5000, 9002);
    expect(clock.offsetMs).toBe(-5001);
  });

  test("is not taken for set by an answer that was slow", () => {
    const clock = new EngineClock();
    clock.sample(0, 10_000, 2);
    clock.sample(1000, 11_000, 1900);
    expect(clock.offsetMs).toBe(9999);
  });
});

describe("lifts", () => {
  test("of one gate drive out none of another's", () => {
    const lifts = new Lifts(10);
    lifts.remember("192.0.2.1", "a", 5);
    for (let n = 0; n < 1000; n++) lifts.remember(`10.0.0.${n}`, "evil", 5 + n);
    expect([lifts.of("192.0.2.1"), lifts.size]).toEqual([5, 11]);
    expect([lifts.of("10.0.0.989"), lifts.of("10.0.0.990")]).toEqual([0, 995]);
  });

  test("the later one counts, whoever made it", () => {
    const lifts = new Lifts(10);
    lifts.remember("192.0.2.1", "a", 7);
    lifts.remember("192.0.2.1", "b", 5);
    expect(lifts.of("192.0.2.1")).toBe(7);
    lifts.remember("192.0.2.1", "b", 9);
    expect(lifts.of("192.0.2.1")).toBe(9);
  });
});

describe("a peer", () => {
  test("has a minute's worth at the start, and as much again each minute", () => {
    const peer = new Peer("a");
    const spent = (nowMs: number) => {
      let count = 0;
      while (peer.spend(60, nowMs)) count++;
      return count;
    };
    expect([spent(0), spent(0), spent(1000), spent(61_000), spent(10_000_000)]).toEqual([60, 0, 1, 60, 60]);
    peer.credit(60, 120_000, 10_000_000);
    expect(spent(10_000_000)).toBe(120);
  });

  test("holds what has not ended", () => {
    const peer = new Peer("a");
    for (const untilMs of [30_000, 90_000, 90_001, Number.POSITIVE_INFINITY]) peer.hold(untilMs);
    peer.release(90_000);
    peer.release(777_000_000);
    expect([peer.held(0), peer.held(60_000), peer.held(1e12)]).toEqual([3, 2, 1]);
  });
});

test("what waits has an end, and what was too much is known", () => {
  const own = new OwnDoings();
  for (let n = 0; n < 30_000; n++) own.mark(String(n));
  expect([own.waiting, own.isOverflown]).toEqual([20_000, true]);
  expect(own.take(100).length).toBe(100);
});

test("a record is read as it was written, and no text makes reading it fail", () => {
  const time = fc.nat(4_000_000_000_000);
  const bytes = fc.uint8Array({ maxLength: 64 });
  fc.assert(
    fc.property(time, time, time, bytes, (madeMs, untilMs, liftedMs, firstBytes) => {
      const evidence = { firstBytes, clientAddress: "2001:db8::1", clientPort: 1, gatePort: 65_535 };
      const record = { madeMs, untilMs: untilMs || Number.POSITIVE_INFINITY, liftedMs, reason: "tls", evidence };
      expect(parseRecord(formatRecord(record))).toEqual(record);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => void parseRecord(text)));
});
