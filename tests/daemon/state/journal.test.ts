// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Claim, Origin } from "../../../src/core/bans/claim.ts";
import { journalLine, parseJournalLine } from "../../../src/daemon/state/journal.ts";

const moment = { nowMs: 5_000_000, wallMs: 1_800_000_000_000 };

const claim = fc.record({
  origin: fc.constantFrom<Origin>("sniffer", "operator", "list:drop", "gate:b"),
  reason: fc.string(),
  sinceMs: fc.integer({ min: 0, max: 5_000_000 }),
  untilMs: fc.oneof(fc.integer({ min: 5_000_001, max: 9_000_000 }), fc.constant(Number.POSITIVE_INFINITY)),
  evidence: fc.option(
    fc
      .record({
        firstBytes: fc.uint8Array({ maxLength: 64 }),
        clientAddress: fc.ipV4(),
        clientPort: fc.nat(65_535),
        gatePort: fc.nat(65_535),
      })
      .chain((seen) => fc.constantFrom(seen, { ...seen, bet: { expert: "text", bits: 33.5, byte: 40 } })),
    { nil: undefined },
  ),
});

const offenders = fc.option(
  fc.record({ bans: fc.integer({ min: 1, max: 1000 }), untilMs: fc.integer({ min: 0, max: 9_000_000 }) }),
  { nil: undefined },
);

test("a line says all of a source's claims, and means the same after a reboot", () => {
  fc.assert(
    fc.property(fc.array(claim, { maxLength: 4 }), offenders, (claims, offender) => {
      const line = journalLine({ source: "192.0.2.1", claims, offender }, moment);
      expect(line.indexOf("\n")).toBe(line.length - 1);
      expect(parseJournalLine(line.trimEnd(), moment)).toEqual({ source: "192.0.2.1", claims, offender });
      // Ten seconds later, on a host that was started five seconds ago.
      const later = parseJournalLine(line.trimEnd(), { nowMs: 5000, wallMs: moment.wallMs + 10_000 });
      expect(later?.offender?.untilMs).toBe(offender && offender.untilMs - moment.nowMs - 10_000 + 5000);
      const left = ({ untilMs }: Claim, nowMs: number) => untilMs - nowMs;
      expect(later?.claims.map((one) => left(one, 5000))).toEqual(
        claims.map((one) => left(one, moment.nowMs + 10_000)),
      );
    }),
  );
});

test("a line that was torn or damaged is none", () => {
  const line = journalLine(
    { source: "192.0.2.1", claims: [], offender: { bans: 3, untilMs: 6_000_000 } },
    moment,
  ).trimEnd();
  for (let length = 0; length < line.length; length++)
    expect(parseJournalLine(line.slice(0, length), moment)).toBe(undefined);
  for (let at = 0; at < line.length; at++) {
    const damaged = line.slice(0, at) + String.fromCharCode(line.charCodeAt(at) ^ 1) + line.slice(at + 1);
    expect(parseJournalLine(damaged, moment)).toBe(undefined);
  }
});
