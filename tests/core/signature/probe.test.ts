// SPDX-License-Identifier: Apache-2.0
// The rules that are code: TLS names, decryption, randomness.
import { describe, expect, test } from "bun:test";
import { createCipheriv, randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { ciphers } from "../../../src/config/profile.ts";
import { compileProfile } from "../../../src/core/profile/compiled_profile.ts";
import { parseProfile } from "../../../src/core/profile/profile.ts";
import { createSniffer } from "../../../src/core/profile/sniffer.ts";
import { falseAlarm, limitsFor } from "../../../src/core/signature/random.ts";
import type { Rule } from "../../../src/core/signature/signature.ts";
import { createFriends } from "../../vectors/friends.ts";
import { loadVectors } from "../../vectors/vectors.ts";

function expecting(rule: Rule) {
  const result = parseProfile({ expect: rule }, "test", ciphers);
  if (result.kind === "invalid") throw new Error(JSON.stringify(result.problems));
  const strict = createSniffer(compileProfile({ ...result.profile, known: [] }));
  return {
    /** How many bytes decide, 1 more for the end; and how. */
    decide(bytes: Uint8Array): { at: number; verdict: string } {
      for (let at = 0; at <= bytes.length; at++) {
        const { kind } = strict.sniff(bytes.subarray(0, at), false);
        if (kind !== "more") return { at, verdict: kind };
      }
      return { at: bytes.length + 1, verdict: strict.sniff(bytes, true).kind };
    },
  };
}

const named =
  loadVectors().find(({ name }) => name === "openssl s_client with a server name")?.bytes ?? new Uint8Array(0);
const unnamed = loadVectors().find(({ name }) => name === "openssl s_client tls1_2")?.bytes ?? new Uint8Array(0);

/** The same hello in records of `size` bytes each. */
function inRecords(hello: Uint8Array, size: number): Uint8Array {
  const body = hello.subarray(5);
  const records: number[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    records.push(0x16, 3, 1, part.length >> 8, part.length & 0xff, ...part);
  }
  return Uint8Array.from(records);
}

describe("tls", () => {
  test.each<[string, Rule, string, string]>([
    ["the name", { kind: "tls", sni: ["example.org"] }, "accept", "foreign"],
    ["the name in capitals, of several", { kind: "tls", sni: ["a.example", "Example.ORG"] }, "accept", "foreign"],
    ["a wildcard for one label", { kind: "tls", sni: ["*.org"] }, "accept", "foreign"],
    ["a wildcard is not the name itself", { kind: "tls", sni: ["*.example.org"] }, "foreign", "foreign"],
    ["a longer name", { kind: "tls", sni: ["example.org.uk", "xample.org"] }, "foreign", "foreign"],
    ["an ALPN protocol", { kind: "tls", alpn: ["http/1.1"] }, "accept", "foreign"],
    ["no such ALPN protocol", { kind: "tls", alpn: ["h3", "http/1"] }, "foreign", "foreign"],
    ["both", { kind: "tls", alpn: ["h2"], sni: ["example.org"] }, "accept", "foreign"],
    ["both, one wrong", { kind: "tls", alpn: ["h2"], sni: ["example.com"] }, "foreign", "foreign"],
    ["any hello", { kind: "tls" }, "accept", "accept"],
  ])("%s", (_, rule, ofNamed, ofUnnamed) => {
    const { decide } = expecting(rule);
    expect([decide(named).verdict, decide(unnamed).verdict]).toEqual([ofNamed, ofUnnamed]);
    for (const size of [1, 7, 64]) expect(decide(inRecords(named, size)).verdict).toBe(ofNamed);
  });

  test("decides before the end of the hello", () => {
    expect(named.length).toBeGreaterThan(300);
    expect(expecting({ kind: "tls", sni: ["example.org"] }).decide(named).at).toBeLessThan(200);
  });

  test("no hello at all is known by its first bytes", () => {
    expect(expecting({ kind: "tls" }).decide(Uint8Array.of(0x17, 3, 3, 0, 40))).toEqual({ at: 2, verdict: "foreign" });
  });

  test("mutated hellos: no throw, and what is decided stays", () => {
    const { decide } = expecting({ kind: "tls", sni: ["example.org"], alpn: ["h2"] });
    const mutation = fc.tuple(fc.nat(named.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(mutation, { maxLength: 6 }), fc.nat(named.length), (mutations, end) => {
        const bytes = named.slice();
        for (const [at, value] of mutations) bytes[at] = value;
        const whole = decide(bytes.subarray(0, end));
        const more = decide(bytes);
        if (whole.at <= end) expect(more).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });
});

describe("aes256", () => {
  const key = randomBytes(32);
  const iv = randomBytes(16);
  const plain = gzipSync(randomBytes(100), { level: 9 });
  const encrypted = (mode: "ecb" | "cbc" | "ctr") => {
    const cipher = createCipheriv(`aes-256-${mode}`, key, mode === "ecb" ? null : iv);
    return Uint8Array.from(Buffer.concat([cipher.update(plain), cipher.final()]));
  };
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

  test.each<["ecb" | "cbc" | "ctr", object]>([
    ["ecb", {}],
    ["cbc", { iv: hex(iv) }],
    ["ctr", { iv: hex(iv) }],
  ])("%s: the site's key accepts, another does not, also in repeated use", (mode, vector) => {
    const right = expecting({ kind: "aes256", mode, key: hex(key), ...vector });
    const wrong = expecting({ kind: "aes256", mode, key: hex(randomBytes(32)), ...vector });
    for (let count = 0; count < 3; count++) {
      expect(right.decide(encrypted(mode))).toEqual({ at: 16, verdict: "accept" });
      expect(wrong.decide(encrypted(mode))).toEqual({ at: 16, verdict: "foreign" });
    }
  });

  test("an initialisation vector that the client sends, after a header", () => {
    const bytes = Uint8Array.from([0x54, 0x54, ...iv, ...encrypted("cbc")]);
    expect(expecting({ kind: "aes256", mode: "cbc", key: hex(key), ivAt: 2, at: 18 }).decide(bytes)).toEqual({
      at: 34,
      verdict: "accept",
    });
  });

  test.each<[object, string]>([
    [{ mode: "ecb", key: "00".repeat(16) }, "expect.key: It must have 32 bytes"],
    [{ mode: "cbc", key: "00".repeat(32) }, "expect.iv: The mode cbc needs"],
    [{ mode: "ecb" }, "expect.key: Give the key either as key or as keyFile"],
    [{ mode: "ecb", keyFile: "/dev/null" }, 'expect.keyFile: The key file "/dev/null" has 0 bytes'],
    [{ mode: "ecb", keyFile: "/nonexistent" }, 'expect.keyFile: The key file "/nonexistent" cannot be read (ENOENT)'],
    [{ mode: "gcm", key: "00".repeat(32) }, "expect.mode: "],
  ])("%j is refused", (rule, problem) => {
    const result = parseProfile({ expect: { kind: "aes256", ...rule } }, "test", ciphers);
    const problems = result.kind === "invalid" ? result.problems.map(({ path, message }) => `${path}: ${message}`) : [];
    expect(problems.join("\n")).toContain(problem);
  });
});

describe("random", () => {
  test("the limits for a block of AES, worked out by hand", () => {
    // P(fewer than 9 of 16 distinct) is 1.0e-10, P(fewer than 10) 1.0e-8; 16 coins cannot be told apart from one side.
    expect(limitsFor(16)).toEqual({ distinct: 9, bits: [29, 99], high: [0, 16] });
    expect(falseAlarm).toBe(1e-9);
  });

  test("the chance to miss is what it is said to be", () => {
    // The same limits, at a chance that shows in a sample: 1 of 30 for each count.
    const limits = limitsFor(32, 0.1);
    const friends = createFriends(7);
    let misses = 0;
    const blocks = 20_000;
    for (let count = 0; count < blocks; count++) {
      const block = friends.next().slice(-32);
      const bits = block.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
      const high = block.filter((byte) => byte > 0x7f).length;
      const fits =
        new Set(block).size >= limits.distinct &&
        bits >= limits.bits[0] &&
        bits <= limits.bits[1] &&
        high >= limits.high[0] &&
        high <= limits.high[1];
      if (!fits) misses++;
    }
    expect(misses / blocks).toBeLessThan(0.1);
    expect(misses / blocks).toBeGreaterThan(0.01);
  });

  test.each<[string, Uint8Array, string]>([
    ["zeros", new Uint8Array(64), "foreign"],
    ["counting words", Uint8Array.from({ length: 64 }, (_, index) => (index % 4 === 3 ? index >> 2 : 0)), "foreign"],
    [
      "English",
      new TextEncoder().encode("this is a sentence that somebody wrote, and nothing else but a sentence."),
      "foreign",
    ],
    ["a block", randomBytes(64), "accept"],
  ])("%s", (_, bytes, verdict) => {
    expect(expecting({ kind: "random", bytes: 64 }).decide(bytes).verdict).toBe(verdict);
  });

  test("after a header of unknown length, decided with the block's last byte", () => {
    const rule = expecting({ kind: "random", bytes: 16, slack: 16 });
    const block = Uint8Array.from({ length: 16 }, (_, index) => (index * 151 + 77) % 256);
    expect(rule.decide(Uint8Array.from([...new Uint8Array(12), ...block])).verdict).toBe("accept");
    expect(rule.decide(new Uint8Array(40))).toEqual({ at: 32, verdict: "foreign" });
  });
});
