// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import type { Claim, Evidence, Origin } from "../../../src/core/bans/claim.ts";
import { journalLine, parseJournalLine } from "../../../src/daemon/state/journal.ts";
import type { SavedSource } from "../../../src/daemon/state/saved_source.ts";

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

/** For comparisons: whatever keeps it. */
function plain(saved: SavedSource | undefined): unknown {
  const plainEvidence = (evidence: Evidence) => {
    const { firstBytes, clientAddress, clientPort, gatePort, bet } = evidence;
    return { firstBytes, clientAddress, clientPort, gatePort, bet };
  };
  const claims = saved?.claims.map((one) => ({ ...one, evidence: one.evidence && plainEvidence(one.evidence) }));
  return saved && { source: saved.prefix.text, claims, offender: saved.offender };
}

test("a line says all of a source's claims, and means the same after a reboot", () => {
  fc.assert(
    fc.property(fc.array(claim, { maxLength: 4 }), offenders, (claims, offender) => {
      const line = journalLine({ source: "192.0.2.1", claims, offender }, moment);
      expect(line.indexOf("\n")).toBe(line.length - 1);
      expect(plain(parseJournalLine(line.trimEnd(), moment))).toEqual({ source: "192.0.2.1", claims, offender });
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

test("lines of earlier versions mean the same, and what is unusual in a line is read as well", () => {
  const lineOf = (text: string) => `${crc32(text).toString(16).padStart(8, "0")} ${text}`;
  const seen = { firstBytes: Uint8Array.of(0, 255), clientAddress: "192.0.2.1", clientPort: 4711, gatePort: 5000 };
  const bootMs = moment.wallMs - moment.nowMs;
  const none = lineOf('["192.0.2.256",[["sniffer","http",1,0,null]]]');
  expect(parseJournalLine(none, moment)).toBe(undefined);
  const whole = (reason: string, evidence: string, behind = "") =>
    lineOf(`["192.0.2.1",[["sniffer",${reason},${bootMs + 1},0,${evidence}${behind}]]]`);
  const expected = { origin: "sniffer", reason: "http", sinceMs: 1, untilMs: Number.POSITIVE_INFINITY };
  const cases: readonly (readonly [string, object])[] = [
    [whole('"http"', '["00ff","192.0.2.1",4711,5000]'), { ...expected, evidence: seen }],
    [whole('"http"', '["00ff","192.0.2.1",4711,5000,null]'), { ...expected, evidence: seen }],
    [whole('"http"', "null"), { ...expected, evidence: undefined }],
    [whole('"h\\u0074tp"', "null"), { ...expected, evidence: undefined }],
    [whole('"http"', "null", ',"b",true'), { ...expected, evidence: undefined, gate: "b", isLocal: true }],
  ];
  for (const [text, claim] of cases) {
    expect(plain(parseJournalLine(text, moment))).toEqual({
      ...{ source: "192.0.2.1", offender: undefined },
      claims: [claim as Claim],
    });
  }
});

test("first bytes are what their digits say, whatever their case, and nothing else", () => {
  const withDigits = (digits: string) => {
    const text = `["192.0.2.1",[["sniffer","http",0,0,["${digits}","192.0.2.1",1,2]]]]`;
    return parseJournalLine(`${crc32(text).toString(16).padStart(8, "0")} ${text}`, moment);
  };
  for (const digits of ["16030aff", "16030AFF"]) {
    expect(withDigits(digits)?.claims[0]?.evidence?.firstBytes).toEqual(Uint8Array.of(0x16, 0x03, 0x0a, 0xff));
  }
  for (const digits of ["16z3", "160"]) expect(() => withDigits(digits)).toThrow();
});
