// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { ciphers, loadSniffer } from "../../../src/config/profile.ts";
import { compileProfile } from "../../../src/core/profile/compiled_profile.ts";
import { type ProfileSource, parseProfile } from "../../../src/core/profile/profile.ts";
import { createSniffer } from "../../../src/core/profile/sniffer.ts";
import { bytesOf } from "../../vectors/vectors.ts";

function problemsOf(source: unknown): string[] {
  const result = parseProfile(source, "test", ciphers);
  return result.kind === "invalid" ? result.problems.map(({ path, message }) => `${path}: ${message}`) : [];
}

function sniffer(source: ProfileSource) {
  const result = parseProfile(source, "test", ciphers);
  if (result.kind === "invalid") throw new Error(JSON.stringify(result.problems));
  return createSniffer(compileProfile(result.profile));
}

const magic = { kind: "text", text: "TT01" } as const;

describe("what is refused at load", () => {
  test.each<[string, unknown, string]>([
    ["no expect", {}, "expect: "],
    ["an unknown key", { expect: magic, expects: 1 }, 'the file: Unrecognized key: "expects"'],
    ["an unknown kind", { expect: { kind: "regex" } }, "expect.kind: "],
    ["an unknown class", { expect: { kind: "run", class: "runes", min: 3 } }, "expect.class: "],
    [
      "a mask longer than its bytes",
      { expect: { kind: "bytes", hex: "16 03", mask: "ff ff ff" } },
      "expect.mask: The mask has 3 bytes",
    ],
    ["odd hexadecimal", { expect: { kind: "bytes", hex: "160" } }, "expect.hex: Bytes are pairs"],
    [
      "an unknown recogniser",
      { expect: { kind: "length", min: 4 }, foreign: ["gopher9"] },
      'foreign[0]: There is no recogniser "gopher9"',
    ],
    [
      "a name of the library",
      { expect: magic, recognisers: [{ name: "ssh", rules: [{ kind: "text", text: "X" }] }] },
      "recognisers[0].name: ",
    ],
    [
      "bytes that contradict",
      { expect: { kind: "all", rules: [magic, { kind: "bytes", at: 1, hex: "00" }] } },
      "expect.rules[1]: This can never match",
    ],
    [
      "a length that contradicts",
      { expect: { kind: "all", rules: [magic, { kind: "length", max: 3 }] } },
      "expect.rules[0]: This can never match",
    ],
    ["a number beyond its size", { expect: { kind: "number", size: 1, min: 256 } }, "expect: This can never match"],
    ["too many bytes", { expect: { kind: "text", text: "x", at: 4096 } }, "expect: The rule may need 4097 bytes"],
    [
      "after nothing",
      { expect: { kind: "text", text: "x", after: true } },
      "expect.after: There is nothing with an end",
    ],
    [
      "a run of open end before after",
      {
        expect: {
          kind: "all",
          rules: [
            { kind: "run", class: "lower", min: 2 },
            { ...magic, after: true },
          ],
        },
      },
      "expect.rules[1].after: ",
    ],
    ["an unbounded run", { expect: { kind: "run", class: "lower", until: "0a" } }, "expect.max: "],
    [
      "overlap with expect",
      { expect: magic, recognisers: [{ name: "mine", rules: [{ kind: "text", text: "TT" }] }] },
      'recognisers[0].rules[0]: The recogniser "mine" overlaps',
    ],
    [
      "overlap with expect by the library",
      { expect: { kind: "text", text: "SSH-2.0-" }, foreign: ["text"] },
      '"text" overlaps with expect',
    ],
  ])("%s", (_, source, problem) => {
    expect(problemsOf(source).join("\n")).toContain(problem);
  });

  test("everything at once, each with its path", () => {
    const problems = problemsOf({
      expect: {
        kind: "all",
        rules: [
          { kind: "bytes", hex: "zz" },
          { kind: "run", class: "runes" },
          { kind: "number", size: 9 },
        ],
      },
      foreign: 7,
      colour: "red",
    });
    const paths = problems.map((problem) => problem.split(": ")[0]);
    expect(paths).toEqual(
      expect.arrayContaining([
        "expect.rules[0].hex",
        "expect.rules[1].class",
        "expect.rules[2].size",
        "foreign",
        "the file",
      ]),
    );
  });
});

test.each(["client", "server", undefined] as const)("who speaks first is handed on: %s", (speaksFirst) => {
  expect(sniffer({ expect: magic, ...(speaksFirst && { speaksFirst }) }).speaksFirst).toBe(speaksFirst);
});

test.each([
  ["ssh", "server"],
  ["smtp", "server"],
  ["tls", undefined],
] as const)("of the built-in profile %s: %s", (name, speaksFirst) => {
  expect(loadSniffer(name).speaksFirst).toBe(speaksFirst);
});

describe("an expected protocol", () => {
  const expecting = sniffer({ name: "mine", expect: { kind: "all", rules: [magic, { kind: "length", min: 8 }] } });
  const sniff = (text: string, ended: boolean) => expecting.sniff(bytesOf(text, undefined), ended);

  test("is accepted as soon as it is certain", () => {
    expect(sniff("TT01abc", false)).toEqual({ kind: "more" });
    expect(sniff("TT01abcd", false)).toEqual({ kind: "accept" });
  });

  test("cut short is no evidence", () => {
    expect(sniff("TT0", true)).toEqual({ kind: "more", isLast: true });
  });

  test("everything else is foreign, by name where there is one", () => {
    expect(sniff("GET /", false)).toEqual({ kind: "foreign", protocol: "http" });
    expect(sniff("G", false)).toEqual({ kind: "more" });
    expect(sniff("T\u0093\u0001", false)).toEqual({ kind: "more" });
    expect(sniff("T\u0093\u0001".padEnd(40, "\u0001"), false)).toEqual({ kind: "foreign", protocol: "unknown" });
  });

  test("a default of accept lets the unknown in, undecided leaves it open", () => {
    const refusing = { expect: magic, foreign: ["http"] };
    const bytes = bytesOf("\u0093\u0001\u0002", undefined);
    expect(sniffer({ ...refusing, default: "accept" }).sniff(bytes, false)).toEqual({ kind: "accept" });
    expect(sniffer({ ...refusing, default: "undecided" }).sniff(bytes, true)).toEqual({ kind: "more", isLast: true });
    expect(sniffer({ ...refusing, default: "accept" }).sniff(bytesOf("GET /", undefined), false)).toEqual({
      kind: "foreign",
      protocol: "http",
    });
  });
});
