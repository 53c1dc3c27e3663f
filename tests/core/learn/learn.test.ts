// SPDX-License-Identifier: Apache-2.0
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { ciphers, loadSniffer } from "../../../src/config/profile.ts";
import { learn, leastSamples } from "../../../src/core/learn/learn.ts";
import { parseRecording, type Recording, recordingLine } from "../../../src/core/learn/recording.ts";
import { replay } from "../../../src/core/learn/replay.ts";
import { compileProfile } from "../../../src/core/profile/compiled_profile.ts";
import { parseProfile } from "../../../src/core/profile/profile.ts";
import { createSniffer } from "../../../src/core/profile/sniffer.ts";
import { bytesOf, loadVectors } from "../../vectors/vectors.ts";

setDefaultTimeout(60_000);

const key = randomBytes(32);

/** A packet of the stand-in client: gzip of level 9, then AES-256. */
function ciphertext(size: number): Uint8Array {
  const cipher = createCipheriv("aes-256-cbc", key, randomBytes(16));
  return Uint8Array.from(Buffer.concat([cipher.update(gzipSync(randomBytes(size), { level: 9 })), cipher.final()]));
}

function accepted(bytes: Uint8Array, atMs = 1_800_000_000_000): Recording {
  return { atMs, bytes, totalBytes: bytes.length, server: "accepted" };
}

function refused(bytes: Uint8Array): Recording {
  return { ...accepted(bytes), server: "refused" };
}

function be(value: number, size: number): number[] {
  return Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** (size - 1 - index)) % 256);
}

function sizes(count: number): number[] {
  return Array.from({ length: count }, (_, index) => 20 + ((index * 37) % 400));
}

/** Magic, version, length of what follows. */
function framed(body: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytesOf("TT01", undefined), 0, 7, ...be(body.length, 4), ...body]);
}

const strangers = loadVectors().map(({ bytes }) => refused(bytes));
const scans: Uint8Array[] = JSON.parse(
  readFileSync(`${import.meta.dirname}/../../vectors/probes/nmap.json`, "utf8"),
).map((hex: string) => bytesOf(undefined, hex));

function learned(recordings: readonly Recording[]) {
  const result = learn(recordings, "site", ciphers);
  if (result.kind === "nothing") throw new Error(result.message);
  const parsed = parseProfile(result.profile, "site", ciphers);
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return { ...result, sniffer: createSniffer(compileProfile(parsed.profile)) };
}

describe("a header of magic, version and length", () => {
  const samples = sizes(60).map((size) => accepted(framed(ciphertext(size))));
  const { profile, report, sniffer } = learned([...samples, ...strangers]);

  test("is found", () => {
    expect(report.findings.join("\n")).toContain("The bytes 54 54 30 31 00 07 are at 0 in all 60 samples");
    expect(report.findings.join("\n")).toContain("The 32-bit big-endian number at 6 is the packet's length less 10");
    expect(report.findings.join("\n")).toContain("From byte 10 on the bytes look random");
    expect(report.findings.join("\n")).toContain("whole blocks of 16");
    expect(profile).toMatchObject({
      name: "site",
      expect: {
        kind: "all",
        rules: [{ kind: "bytes" }, { kind: "number" }, { kind: "ciphertext", header: 10, shortest: 44 }],
      },
    });
    expect(report).toMatchObject({ samples: 60, wrongly: 0, relayed: 0, refused: strangers.length });
  });

  test("accepts friends that were not recorded, at once, also much longer ones", () => {
    for (const size of [20, 100, 500, 900])
      expect(sniffer.sniff(framed(ciphertext(size)), false)).toEqual({ kind: "accept" });
  });

  test("no probe of nmap is relayed", () => {
    expect(scans.filter((bytes) => sniffer.sniff(bytes, true).kind === "accept")).toEqual([]);
  });
});

describe("no header", () => {
  const samples = sizes(80).map((size) => accepted(ciphertext(size)));
  const { report, sniffer } = learned([...samples, ...strangers]);

  test("only randomness is found, and it lets nobody else in but what looks random too", () => {
    expect(report.findings.join("\n")).toContain("From byte 0 on the bytes look random");
    expect(report.wrongly).toBe(0);
    expect(report.relayed).toBeLessThanOrEqual(1);
    for (const size of [20, 100, 500]) expect(sniffer.sniff(ciphertext(size), false)).toEqual({ kind: "accept" });
  });

  test("no probe of nmap is relayed", () => {
    expect(scans.filter((bytes) => sniffer.sniff(bytes, true).kind === "accept")).toEqual([]);
  });
});

describe("what changes slowly is no constant", () => {
  test("a clock in seconds", () => {
    const samples = sizes(40).map((size, index) => {
      const atMs = 1_800_000_000_000 + index * 60_000;
      return accepted(Uint8Array.from([...bytesOf("TT", undefined), ...be(atMs / 1000, 4), ...ciphertext(size)]), atMs);
    });
    const { sniffer } = learned(samples);
    const nextYear = Uint8Array.from([...bytesOf("TT", undefined), ...be(1_840_000_000, 4), ...ciphertext(60)]);
    expect(sniffer.sniff(nextYear, false)).toEqual({ kind: "accept" });
  });

  test("a counter", () => {
    const at = (count: number, size: number) =>
      Uint8Array.from([...bytesOf("TT", undefined), ...be(count, 4), ...ciphertext(size)]);
    const { sniffer, report } = learned(sizes(40).map((size, index) => accepted(at(index, size))));
    expect(report.findings[0]).toContain("The bytes 54 54");
    expect(sniffer.sniff(at(1_000_000, 60), false)).toEqual({ kind: "accept" });
  });
});

test("what may be the length of packets that are all of one size is no constant", () => {
  const sized = (size: number) => Uint8Array.from([...be(size, 4), ...randomBytes(size)]);
  const { sniffer, report } = learned(Array.from({ length: 40 }, () => accepted(sized(80))));
  expect(report.findings.join("\n")).toContain("All are of one size");
  for (const size of [64, 96, 1000]) expect(sniffer.sniff(sized(size), false)).toEqual({ kind: "accept" });
  const magic = Array.from({ length: 40 }, () =>
    accepted(Uint8Array.from([...bytesOf("TT01", undefined), ...sized(80)])),
  );
  expect(learned(magic).report.findings[0]).toContain("The bytes 54 54 30");
});

describe("text", () => {
  test("what all lines begin with", () => {
    const samples = Array.from({ length: 40 }, (_, index) =>
      accepted(bytesOf(`LOGIN ${"x".repeat(index)} please\n`, undefined)),
    );
    const { sniffer } = learned(samples);
    expect(sniffer.sniff(bytesOf("LOGIN somebody\n", undefined), false)).toEqual({ kind: "accept" });
    expect(sniffer.sniff(bytesOf("GET / HTTP/1.0\r\n\r\n", undefined), false)).toEqual({
      kind: "foreign",
      protocol: "http",
    });
  });
});

describe("too little to learn from", () => {
  test("few samples", () => {
    const samples = sizes(leastSamples - 1).map((size) => accepted(framed(ciphertext(size))));
    expect(learn(samples, "site", ciphers)).toMatchObject({
      kind: "nothing",
      message: expect.stringContaining("29 connections and 30 are needed"),
    });
  });

  test("nothing in common", () => {
    const samples = Array.from({ length: 40 }, (_, index) => accepted(Uint8Array.of(index)));
    expect(learn(samples, "site", ciphers)).toMatchObject({
      kind: "nothing",
      message: expect.stringContaining("nothing in common"),
    });
  });

  test.each([3, 40])("nothing in common with one of %d sources, which is named", (sources) => {
    const friends = sizes(60).map((size, index) => ({
      ...accepted(framed(ciphertext(size))),
      source: `of ${index % sources}`,
    }));
    const scanner = [0x47, 0xff, 0].map((byte) => ({ ...accepted(Uint8Array.of(byte)), source: "scanner" }));
    expect(learn(friends, "site", ciphers).kind).toBe("learned");
    expect(learn([...friends, ...scanner], "site", ciphers)).toMatchObject({
      kind: "nothing",
      message: expect.stringMatching(/nothing in common.*; without the 3 of the source "scanner" they have: /),
    });
  });
});

test("whatever was recorded: no throw, and all that the server accepted is accepted", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.uint8Array({ minLength: 30, maxLength: 60 }).map((tail) => Uint8Array.from([1, 2, ...tail])),
    fc.constantFrom(...loadVectors().map((vector) => vector.bytes.slice(0, 80))),
  );
  const server = fc.constantFrom("accepted" as const, "accepted" as const, "refused" as const, "unknown" as const);
  const recording = fc
    .record({ atMs: fc.nat(), bytes, server, more: fc.nat(9) })
    .map(({ more, ...rest }) => ({ ...rest, totalBytes: rest.bytes.length + more }));
  const group = fc
    .tuple(fc.array(recording, { minLength: 0, maxLength: 3 }), fc.integer({ min: 1, max: 40 }))
    .map(([list, times]) => Array.from({ length: times }, () => list).flat());
  fc.assert(
    fc.property(group, (recordings) => {
      const result = learn(recordings, "site", ciphers);
      if (result.kind === "learned") expect(result.report.wrongly).toBe(0);
    }),
    { numRuns: 300 },
  );
});

describe("replay", () => {
  test("says which verdicts change, and what the server thought of them", () => {
    const friend = accepted(framed(ciphertext(50)));
    const http = refused(bytesOf("GET / HTTP/1.0\r\n\r\n", undefined));
    const [tapetrack, web] = [loadSniffer("tapetrack"), loadSniffer("http")];
    expect(replay(friend, tapetrack, web)).toMatchObject({
      before: { verdict: "accept" },
      after: { verdict: "foreign", protocol: "unknown" },
      changed: true,
      server: "accepted",
    });
    expect(replay(http, tapetrack, web)).toMatchObject({
      before: { verdict: "foreign", protocol: "http", byte: 4 },
      after: { verdict: "accept" },
      changed: true,
    });
    expect(replay(http, tapetrack, loadSniffer("ssh"))).toMatchObject({ changed: false });
  });
});

describe("recordings", () => {
  test("are lines of JSON, read back as they were", () => {
    const recording = accepted(Uint8Array.of(0, 255, 10));
    expect(parseRecording(recordingLine(recording))).toEqual({ kind: "recording", recording });
  });

  test.each([
    "",
    "[]",
    "{",
    '{"atMs":1,"hex":"0","totalBytes":1,"server":"accepted"}',
    '{"atMs":1,"hex":"00ff","totalBytes":1,"server":"accepted"}',
  ])("%s is refused", (line) => {
    expect(parseRecording(line).kind).toBe("invalid");
  });
});

test("a beginning that may be the upper part of a number is tried before it bans", () => {
  const serials = Array.from({ length: 60 }, (_, index) => {
    const bytes = Uint8Array.from([
      ...be(0x5a41_0000 + ((index * 40_503) % 65_536), 4),
      ...Array(12 + (index % 7)).fill(index % 5),
    ]);
    const atMs = 1_800_000_000_000 + index * 3_600_000;
    return { ...accepted(bytes, atMs), source: `192.0.2.${index % 12}` };
  });
  const { profile, report } = learned(serials);
  const doubt =
    'the bytes 5a 41 ("ZA") are at 0, beside bytes that change, and may be the upper part of a number that grows';
  expect(report.missing).toEqual([doubt]);
  expect(profile.unproven).toBe(doubt);
});
