// SPDX-License-Identifier: Apache-2.0
// Near misses of every built-in profile, and single bytes, which are no evidence at all.
import { describe, expect, test } from "bun:test";
import { ciphers, loadSniffer } from "../../../src/config/profile.ts";
import { profileLibrary } from "../../../src/core/profile/library.ts";
import { parseProfile } from "../../../src/core/profile/profile.ts";
import { loadNearMisses } from "../../vectors/near_misses.ts";

const misses = loadNearMisses();

test.each([...profileLibrary.keys()])("%s: one byte and silence are no evidence", (profile) => {
  const sniffer = loadSniffer(profile);
  for (let byte = 0; byte < 256; byte++) {
    const bytes = Uint8Array.of(byte);
    for (const ended of [false, true]) {
      const sniffed = sniffer.sniff(bytes, ended);
      if (sniffed.kind !== "accept") expect<unknown>([byte, sniffed]).toEqual([byte, { kind: "more" }]);
    }
  }
});

describe("a near miss", () => {
  test("is known to every profile that expects more than ciphertext", () => {
    const withNear = [...profileLibrary].filter(([, { near }]) => near !== undefined).map(([name]) => name);
    expect(withNear.sort()).toEqual(
      [...profileLibrary.keys()].filter((n) => !["tapetrack", "opaque"].includes(n)).sort(),
    );
    expect([...new Set(misses.map(({ profile }) => profile))].sort()).toEqual(withNear.sort());
  });

  test.each(misses.map((miss) => [`${miss.profile}: ${miss.name}`, miss] as const))("%s", (_, miss) => {
    const sniffer = loadSniffer(miss.profile);
    expect(sniffer.undecidedLimit).toBe(5);
    expect(sniffer.sniff(miss.bytes, true)).toEqual({ kind: "malformed" });
    let isDecided = false;
    for (let length = 1; length <= miss.bytes.length; length++) {
      const { kind } = sniffer.sniff(miss.bytes.subarray(0, length), false);
      expect([length, kind]).toEqual([length, isDecided ? "malformed" : kind]);
      expect([length, ["more", "malformed"].includes(kind)]).toEqual([length, true]);
      isDecided = kind === "malformed";
    }
  });

  test.each([
    ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http"],
    ["SSH-2.0-client\r\n", "ssh"],
  ])("and no stranger: %j at a mail server is %s", (text, protocol) => {
    const bytes = new TextEncoder().encode(text);
    expect(loadSniffer("smtp").sniff(bytes, true)).toEqual({ kind: "foreign", protocol });
  });
});

describe("what is refused at load", () => {
  const problemsOf = (source: object) => {
    const result = parseProfile({ expect: { kind: "text", text: "TT01" }, ...source }, "own", ciphers);
    return result.kind === "invalid" ? result.problems.map(({ path }) => path) : [];
  };

  test.each([
    ["a name that nobody has", { near: { family: ["nobody"] } }, ["near.family[0]"]],
    ["a recogniser that bans", { near: { overrules: ["http"] }, foreign: ["http"] }, ["near.overrules[0]"]],
    ["nobody is foreign", { near: { family: ["http"] }, default: "accept" }, ["near"]],
    ["ciphertext", { near: { family: ["http"] }, expect: { kind: "ciphertext" } }, ["near"]],
    ["a rule that cannot be", { near: { rules: [{ kind: "bytes", hex: "0" }] } }, ["near.rules[0].hex"]],
  ])("%s", (_, source, paths) => {
    expect(problemsOf(source)).toEqual(paths);
  });

  test("and what is not", () => {
    expect(problemsOf({ near: { family: ["http"], overrules: ["text"] }, strikes: 3 })).toEqual([]);
  });
});
