// SPDX-License-Identifier: Apache-2.0
// What becomes of strangers that no recogniser need know, and of nmap's probes: docs/verdict.md promises it.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ciphers, loadSniffer } from "../../../src/config/profile.ts";
import { compileProfile } from "../../../src/core/profile/compiled_profile.ts";
import { parseProfile } from "../../../src/core/profile/profile.ts";
import { createSniffer } from "../../../src/core/profile/sniffer.ts";
import type { Sniffer } from "../../../src/core/sniff.ts";
import { structured } from "../../vectors/structured.ts";
import { bytesOf, loadVectors } from "../../vectors/vectors.ts";

const tapetrack = loadSniffer("tapetrack");
/** No recogniser has a say. */
const bare = bareSniffer();

function bareSniffer(): Sniffer {
  const parsed = parseProfile({ expect: { kind: "ciphertext" } }, "bare", ciphers);
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return createSniffer(compileProfile({ ...parsed.profile, known: [] }));
}

function sharesOf(
  sniffer: Sniffer,
  packets: readonly Uint8Array[],
): Record<"foreign" | "accept" | "malformed" | "more", number> {
  const counts = { foreign: 0, accept: 0, malformed: 0, more: 0 };
  for (const bytes of packets) counts[sniffer.sniff(bytes, true).kind]++;
  const share = (count: number) => Math.round((count / packets.length) * 1000) / 1000;
  return {
    foreign: share(counts.foreign),
    accept: share(counts.accept),
    malformed: share(counts.malformed),
    more: share(counts.more),
  };
}

const packets = structured.map(({ bytes }) => bytes);

describe("packets of 32 bytes and more from specifications", () => {
  test("there are many, of many kinds", () => {
    expect(packets.length).toBeGreaterThan(140);
    expect(Math.min(...packets.map(({ length }) => length))).toBeGreaterThanOrEqual(32);
    expect(new Set(structured.map(({ kind }) => kind)).size).toBe(8);
    expect(new Set(structured.map(({ name }) => name)).size).toBe(structured.length);
  });

  test("without a recogniser nine of ten are foreign and hardly any is accepted", () => {
    const shares = sharesOf(bare, packets);
    expect(shares.foreign).toBeGreaterThan(0.9);
    expect(shares.accept).toBeLessThan(0.02);
  });

  test("with recognisers no fewer are foreign", () => {
    const shares = sharesOf(tapetrack, packets);
    expect(shares.foreign).toBeGreaterThan(0.9);
    expect(shares.accept).toBeLessThan(0.02);
  });

  test("so are most vectors, of which some are random where it counts", () => {
    const random = new Set(["arucer", "radius", "tls", "wireguard"]);
    const others = loadVectors().filter(({ protocol, bytes }) => bytes.length >= 32 && !random.has(protocol));
    const shares = sharesOf(
      bare,
      others.map(({ bytes }) => bytes),
    );
    expect(shares.foreign).toBeGreaterThan(0.8);
    expect(shares.accept).toBeLessThan(0.08);
  });
});

test("a stranger's evidence says who knew it, by how much, and from which byte on", () => {
  for (const { name, bytes } of structured) {
    const verdict = bare.sniff(bytes, false);
    const found = bare.evidence?.(bytes);
    expect([name, found?.expert]).toEqual([name, verdict.kind === "foreign" ? verdict.protocol : undefined]);
    if (found === undefined) continue;
    expect(found.bits).toBeGreaterThanOrEqual(33.5);
    expect(bare.sniff(bytes.subarray(0, found.byte), false)).toEqual(verdict);
    expect(bare.sniff(bytes.subarray(0, found.byte - 1), false)).toEqual({ kind: "more" });
  }
});

/** "Which version has the protocol, and who is connected?" and its like. */
const codePages = [
  [
    "KOI8-R",
    "ebc1cbc1d120d7c5d2d3c9d120d0d2cfd4cfcbcfccc120d520d7c1dbc5c7cf20d3c5d2d7c5d2c12c20c920cbd4cf20d3c5cadec1d320d0cf",
  ],
  [
    "Windows-1251",
    "cae0eae0ff20e2e5f0f1e8ff20eff0eef2eeeaeeebe020f320e2e0f8e5e3ee20f1e5f0e2e5f0e02c20e820eaf2ee20f1e5e9f7e0f120efee",
  ],
  [
    "ISO 8859-7",
    "d0efe9e120e5dfede1e920e720ddeae4eff3e720f4eff520f0f1f9f4efeafcebebeff520eae1e920f0efe9eff220e5dfede1e920f3f5ede4",
  ],
  [
    "Windows-1256",
    "e3c720e5e620c5d5cfc7d120c7e1c8d1e6cae6dfe6e120e6e3e420e5e620e3cad5e120c7e1c2e420c8c7e1cec7cfe320e3e420ddd6e1df",
  ],
  [
    "Windows-1255",
    "eee4e920e2f8f1fa20e4f4f8e5e8e5f7e5ec20e5eee920eee7e5e1f820f2ebf9e9e520ecf9f8fa20e1e1f7f9e420faf2f0e520ecf0e5",
  ],
  [
    "GBK",
    "c7ebb8e6cbdfced2c3c7d0add2e9b5c4b0e6b1bebac5c2ebd2d4bcb0cfd6d4dac1acbdd3b5bdb7fecef1c6f7b5c4d3c3bba7c3fbb5a5",
  ],
  [
    "EUC-KR",
    "c7c1b7cec5e4c4dd20b9f6c0fcb0fa20c1f6b1dd20bcadb9f6bfa120bfacb0e1b5c820bbe7bfebc0dab8a620becbb7c120c1d6bcbcbfe4",
  ],
  [
    "TIS-620",
    "e2bbc3b4bacda1c3d8e8b9a2cda7e2bbc3e2b5a4cdc5e1c5d0bcd9e9b7d5e8a1d3c5d1a7e0aad7e8cdc1b5e8cdcdc2d9e8b5cdb9b9d5e9",
  ],
  [
    "EBCDIC",
    "d7938581a28540a385939340a4a240a3888540a58599a289969540968640a3888540979996a3968396934081958440a688964089a240a388",
  ],
] as const;

test.each(codePages)("text in %s is not relayed, however it is cut", (_, hex) => {
  const bytes = Uint8Array.fromHex(hex);
  for (let length = 1; length <= bytes.length; length++) {
    for (const ended of [false, true]) {
      const { kind } = tapetrack.sniff(bytes.subarray(0, length), ended);
      expect([length, ["more", "foreign"]]).toEqual([length, expect.arrayContaining([kind])]);
    }
  }
});

describe("nmap's probes", () => {
  const file = `${import.meta.dirname}/../../vectors/probes/nmap.json`;
  const probes = (JSON.parse(readFileSync(file, "utf8")) as string[]).map((hex) => bytesOf(undefined, hex));

  test("every one of 32 bytes and more is foreign, and none of any size is accepted", () => {
    const verdicts = probes.map((bytes) => [bytes.length >= 32, tapetrack.sniff(bytes, true).kind] as const);
    expect(verdicts.filter(([isLong, kind]) => isLong && kind !== "foreign")).toEqual([]);
    expect(verdicts.filter(([, kind]) => kind === "accept")).toEqual([]);
  });
});

/** Of each the bytes behind the clear header are all that tells. */
const remembered: [string, (at: number) => number][] = [
  ...[3, 5, 6, 7, 12, 16].map((period): [string, (at: number) => number] => [
    `bytes that come again after ${period}`,
    (at) => (((at % period) + 3) * 0x9e) & 255,
  ]),
  ...[0x5a, 0x80, 0xc3].map((key): [string, (at: number) => number] => [
    `text behind the constant 0x${key.toString(16)}`,
    (at) =>
      ("In the beginning the Universe was created, which made many people angry. ".charCodeAt(at % 74) || 32) ^ key,
  ]),
];

test.each(remembered)("%s: no ciphertext, by what was remembered", (_, byteAt) => {
  const bytes = Uint8Array.from({ length: 60 }, (_, at) => byteAt(at));
  expect(bare.sniff(bytes, true)).toEqual({ kind: "foreign", protocol: "pattern" });
  expect(bare.evidence?.(bytes)?.byte).toBeLessThanOrEqual(44);
});
