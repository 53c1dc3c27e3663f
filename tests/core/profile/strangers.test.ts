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

describe("nmap's probes", () => {
  const file = `${import.meta.dirname}/../../vectors/probes/nmap.json`;
  const probes = (JSON.parse(readFileSync(file, "utf8")) as string[]).map((hex) => bytesOf(undefined, hex));

  test("every one of 32 bytes and more is foreign, and none of any size is accepted", () => {
    const verdicts = probes.map((bytes) => [bytes.length >= 32, tapetrack.sniff(bytes, true).kind] as const);
    expect(verdicts.filter(([isLong, kind]) => isLong && kind !== "foreign")).toEqual([]);
    expect(verdicts.filter(([, kind]) => kind === "accept")).toEqual([]);
  });
});
