// SPDX-License-Identifier: Apache-2.0
// How long a ban lasts: by protocol, and by how often the source was banned before.
import { expect, test } from "bun:test";
import { requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import type { Origin } from "../../../src/core/bans/claim.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { Offenders } from "../../../src/core/bans/offenders.ts";
import { type Terms, termOf } from "../../../src/core/bans/terms.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { lifted } from "../../harness/lifted.ts";

const minute = 60_000;
const terms: Terms = {
  timeoutMs: 10 * minute,
  timeoutFor: new Map([["ssh", 60 * minute]]),
  factor: 2,
  ceilingMs: 100 * minute,
  memoryMs: 1000 * minute,
};
const source = "192.0.2.1";

function scene(limit?: number) {
  const offenders = new Offenders(() => terms.memoryMs, limit);
  const enforcement = new Enforcement(new Bans(1000, 64), new NeverBan(), undefined, newBanCounters());
  enforcement.follow(offenders);
  const offend = (atMs: number, reason = "http", origin: Origin = "sniffer", who = source) => {
    const termMs = termOf(terms, reason, offenders.of(who, atMs), atMs);
    enforcement.ban({ prefix: requirePrefix(who), reason, origin, untilMs: atMs + termMs }, atMs);
    return termMs / minute;
  };
  return { offenders, enforcement, offend };
}

test("each further ban lasts twice as long, up to the ceiling, while it is remembered", () => {
  const { enforcement, offend } = scene();
  let nowMs = 0;
  const lasted: number[] = [];
  for (let ban = 0; ban < 6; ban++) {
    const term = offend(nowMs);
    lasted.push(term);
    nowMs += term * minute + 1000;
    enforcement.sweep(nowMs);
  }
  expect(lasted).toEqual([10, 20, 40, 80, 100, 100]);
  expect(offend(nowMs + terms.memoryMs)).toBe(10);
});

test("what a source does while its ban runs belongs to that ban", () => {
  const { offenders, offend } = scene();
  expect([offend(0), offend(1), offend(2, "ssh")]).toEqual([10, 10, 60]);
  expect(offenders.of(source, 2)).toEqual({ bans: 1, untilMs: 60 * minute + 2 });
  expect(offend(60 * minute + 3)).toBe(20);
});

test("a protocol's own time is what grows, and a ceiling below it does not shorten it", () => {
  const short = { ...terms, ceilingMs: minute };
  expect(termOf(terms, "ssh", { bans: 1, untilMs: 0 }, 1)).toBe(100 * minute);
  expect(termOf(short, "ssh", { bans: 1, untilMs: 0 }, 1)).toBe(60 * minute);
  expect(termOf({ ...terms, factor: 1 }, "http", { bans: 9, untilMs: 0 }, 1)).toBe(10 * minute);
});

test("a lift forgives; what a person or a list asked for is no offence", () => {
  const { offenders, enforcement, offend } = scene();
  offend(0);
  lifted(enforcement, [requirePrefix(source)], 1);
  expect(offenders.of(source, 2)).toBe(undefined);
  for (const origin of ["operator", "list:drop", "map"] as const) offend(3, "manual", origin, "192.0.2.7");
  expect(offenders.size).toBe(0);
});

test("the one whose last ban is longest ago makes room", () => {
  const { offenders, offend } = scene(2);
  for (const [index, who] of ["192.0.2.1", "192.0.2.2", "192.0.2.3"].entries()) offend(index, "http", "sniffer", who);
  expect([offenders.of("192.0.2.1", 3), offenders.size]).toEqual([undefined, 2]);
});
