// SPDX-License-Identifier: Apache-2.0
// The flat table must say what the matcher says, of every vector, of every prefix of it.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ciphers, loadProfile } from "../../../src/config/profile.ts";
import { compileProfile } from "../../../src/core/profile/compiled_profile.ts";
import { profileLibrary } from "../../../src/core/profile/library.ts";
import { parseProfile } from "../../../src/core/profile/profile.ts";
import { createSniffer } from "../../../src/core/profile/sniffer.ts";
import * as tables from "../../../src/core/signature/table.ts";
import { type SignatureTable, tableLimits, tableOf, tablePrefixBytes } from "../../../src/core/signature/table.ts";
import type { Sniff } from "../../../src/core/sniff.ts";
import { createFriends } from "../../vectors/friends.ts";
import { inlineProfiles } from "../../vectors/inline_profiles.ts";
import { loadVectors } from "../../vectors/vectors.ts";
import { runTable } from "./table_reader.ts";

function table(name: string): SignatureTable {
  const result = tableOf(loadProfile(name));
  if (result.kind === "refused") throw new Error(JSON.stringify(result.problems));
  return result.table;
}

/** A recogniser that is possible puts off what is expected, and one that holds overrules it. */
function fault(verdict: Sniff, isRefuted: boolean, expected: -1 | 0 | 1): string | undefined {
  const isRight =
    verdict.kind === "more" ||
    (verdict.kind === "foreign" ? isRefuted || expected === -1 : !isRefuted && expected === 1);
  return isRight ? undefined : `expected ${expected}, ${verdict.kind}`;
}

describe.each(inlineProfiles)("%s", (name) => {
  const profile = loadProfile(name);
  const { bytes: encoded, protocols, leftOut } = table(name);
  // What the kernel does without, the matcher does without here.
  const left = new Set(leftOut.map(({ path }) => path.split(".rules")[0]));
  const known = profile.known.map((recogniser) =>
    left.has(recogniser.name) ? { ...recogniser, refutes: false } : recogniser,
  );
  const isRefuting = known.some(({ refutes }) => refutes);
  const sniffer = createSniffer(compileProfile({ ...profile, known }));

  /** What the table says of a prefix, in the words of the matcher; a verdict that needs a name may come later there. */
  function disagreement(prefix: Uint8Array): string | undefined {
    const { refuters, expected } = runTable(encoded, prefix);
    const verdict = sniffer.sniff(prefix, false);
    if (isRefuting && profile.fallback === "foreign") return fault(verdict, refuters.length > 0, expected);
    if (profile.fallback === "foreign") {
      const isRight =
        expected === -1 ? verdict.kind !== "accept" : verdict.kind === (expected === 1 ? "accept" : "more");
      return isRight ? undefined : `expected ${expected}, ${verdict.kind}`;
    }
    const names = refuters.map((owner) => protocols[owner] ?? "").filter((protocol) => !left.has(protocol));
    const isRight = verdict.kind === "foreign" ? names.includes(verdict.protocol) : names.length === 0;
    return isRight ? undefined : `${names.join(", ")} instead of ${JSON.stringify(verdict)}`;
  }

  test("agrees with the matcher on every prefix of every vector", () => {
    for (const { name: vector, bytes } of loadVectors()) {
      for (let length = 1; length <= Math.min(bytes.length, tablePrefixBytes); length++) {
        expect([vector, length, disagreement(bytes.subarray(0, length))]).toEqual([vector, length, undefined]);
      }
    }
  });

  test("is small enough for a BPF map", () => {
    expect(encoded.length).toBeLessThan(256 * 1024);
  });
});

test("no friend of tapetrack is refuted", () => {
  const { bytes: encoded } = table("tapetrack");
  const friends = createFriends(3);
  for (let count = 0; count < 20_000; count++)
    expect(runTable(encoded, friends.next().slice(0, tablePrefixBytes)).refuters).toEqual([]);
});

test("no rule of the library is too long for the kernel, so that both engines judge by the same", () => {
  expect(table("tapetrack").leftOut).toEqual([]);
});

describe("what needs user space is refused, with the path", () => {
  test.each<[string, object, string]>([
    ["a server name", { expect: { kind: "tls", sni: ["example.org"] } }, "expect: Only user space"],
    ["what must look random", { expect: { kind: "random", bytes: 16 } }, "expect: Only user space"],
    ["a long rule", { expect: { kind: "text", at: 300, text: "x" } }, "expect: This may need 301 bytes"],
    [
      "a recogniser of one's own",
      {
        expect: { kind: "length", min: 1 },
        default: "accept",
        recognisers: [{ name: "mine", rules: [{ kind: "tls", sni: ["a.b"] }] }],
      },
      "recognisers[0].rules[0]: Only user space",
    ],
  ])("%s", (_, source, problem) => {
    const parsed = parseProfile(source, "test", ciphers);
    if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
    const result = tableOf(parsed.profile);
    const problems = result.kind === "refused" ? result.problems.map(({ path, message }) => `${path}: ${message}`) : [];
    expect(problems.join("\n")).toContain(problem);
  });

  test("postgres, for TLS with a name of its own", () => {
    const refused = [...profileLibrary.keys()].filter((name) => tableOf(loadProfile(name)).kind === "refused");
    expect(refused.sort()).toEqual(["postgres"]);
  });
});

describe("what the program has no room for is refused, with the figure and what to do", () => {
  const numbered = (count: number, head: string) =>
    Array.from({ length: count }, (_, index) => `${head}${String(index).padStart(10, "0")}`);
  const nothingAt = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ kind: "not", rule: { kind: "bytes", at, hex: "00" } }));

  function refusal(rules: readonly object[]): string {
    const recognisers = [{ name: "mine", rules }];
    const source = { expect: { kind: "length", min: 1 }, default: "accept", recognisers };
    const parsed = parseProfile(source, "test", ciphers);
    if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
    const result = tableOf(parsed.profile);
    return result.kind === "refused"
      ? result.problems.map(({ path, message }) => `${path}: ${message}`).join("; ")
      : "";
  }

  test.each<[string, readonly object[], RegExp]>([
    [
      "bytes",
      Array.from({ length: 12 }, (_, index) => ({
        kind: "text",
        text: numbered(512, String.fromCharCode(97 + index)),
      })),
      /^the file: The kernel has room for 262144 bytes of signatures, this profile has \d{6}; drop rules or names of foreign, or use the mode proxy$/,
    ],
    [
      "candidates",
      [{ kind: "text", text: numbered(257, "~") }],
      /^the file: The kernel has room for 256 rules that begin with the same byte, this profile has 2[5-9]\d; drop/,
    ],
    [
      "parts",
      [{ kind: "all", rules: nothingAt(33) }],
      /^the file: The kernel has room for 32 parts of one rule, this profile has 33; drop/,
    ],
    [
      "parts that do not fit their count",
      [{ kind: "all", rules: [...nothingAt(200), ...nothingAt(56)] }],
      /^the file: The kernel has room for 32 parts of one rule, this profile has 256; drop/,
    ],
  ])("%s", (_, rules, message) => {
    expect(refusal(rules)).toMatch(message);
  });

  test("and not what fits", () => {
    expect(
      refusal([
        { kind: "all", rules: nothingAt(32) },
        { kind: "text", text: numbered(100, "~") },
      ]),
    ).toBe("");
  });
});

describe("the encoder and bpf/signature_table.h mean the same by", () => {
  const header = readFileSync(`${import.meta.dirname}/../../../bpf/signature_table.h`, "utf8");

  function defined(name: string): number {
    const value = new RegExp(`^#define ${name} (?:(0x[0-9a-f]+|\\d+)|\\((\\d+) \\* (\\d+)\\))(?:\\s|$)`, "m").exec(
      header,
    );
    if (value === null) throw new Error(`bpf/signature_table.h has no ${name}`);
    return value[1] === undefined ? Number(value[2]) * Number(value[3]) : Number(value[1]);
  }

  /** `NAME` counts on from the one before, as in C. */
  function enumeration(name: string): Record<string, number> {
    const body = new RegExp(`^enum ${name} \\{\\n([^}]*)\\}`, "m").exec(header)?.[1] ?? "";
    let next = 0;
    const entries = [...body.matchAll(/^\t([A-Z_]+)(?: = (\d+)(?: << (\d+))?)?,/gm)].map(
      ([, key = "", value, shift]) => {
        next = value === undefined ? next : Number(value) << Number(shift ?? 0);
        return [key, next++] as const;
      },
    );
    return Object.fromEntries(entries);
  }

  function size(struct: string): number {
    return Number(new RegExp(`sizeof\\(struct ${struct}\\) == (\\d+)`).exec(header)?.[1]);
  }

  test("limits and numbers of their own", () => {
    const limits: Readonly<Record<string, number>> = tableLimits;
    expect(limits).toEqual({
      bytes: defined("SIGNATURES_BYTES"),
      candidates: defined("MAX_CANDIDATES"),
      steps: defined("MAX_STEPS"),
    });
    expect([tables.tableMagic, tables.tableVersion, tablePrefixBytes, tables.nothing]).toEqual([
      defined("SIGNATURES_MAGIC"),
      defined("SIGNATURES_VERSION"),
      defined("PREFIX_BYTES"),
      defined("NOTHING"),
    ]);
  });

  test("kinds and flags", () => {
    expect(enumeration("step_kind")).toEqual({
      STEP_BYTES: tables.kindBytes,
      STEP_RUN: tables.kindRun,
      STEP_REST: tables.kindRest,
      STEP_NUMBER: tables.kindNumber,
      STEP_LENGTH: tables.kindLength,
      STEP_BLOCKS: tables.kindBlocks,
      STEP_CIPHERTEXT: tables.kindCiphertext,
    });
    expect(enumeration("step_flags")).toEqual({
      STEP_NEGATED: tables.flagNegated,
      STEP_RELATIVE: tables.flagRelative,
      STEP_LITTLE: tables.flagLittle,
    });
    expect(enumeration("alternative_flags")).toEqual({
      ALTERNATIVE_NEAR: tables.flagNear,
      ALTERNATIVE_OVERRULED: tables.flagOverruled,
      ALTERNATIVE_REFUTES: tables.flagRefutes,
      ALTERNATIVE_EXPECTED: tables.flagExpected,
    });
    expect(enumeration("length_relation")).toEqual({ LENGTH_FREE: 0, LENGTH_EQUALS: 1, LENGTH_WITHIN: 2 });
  });

  test("structs", () => {
    expect([size("signature_header"), size("signature_alternative"), size("signature_step")]).toEqual([
      tables.headerBytes,
      tables.alternativeBytes,
      tables.stepBytes,
    ]);
  });
});
