// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ciphers } from "../../../src/config/profile.ts";
import { boundsOf, evidenceBits } from "../../../src/core/signature/bounds.ts";
import { createMatcher } from "../../../src/core/signature/matcher.ts";
import { programOf, startCells } from "../../../src/core/signature/program.ts";
import { recognisers } from "../../../src/core/signature/recogniser.ts";
import { type Rule, recogniserSchema } from "../../../src/core/signature/signature.ts";
import { alternativesOf, type Problem } from "../../../src/core/signature/term.ts";
import { bytesOf } from "../../vectors/vectors.ts";

type Answer = "yes" | "no" | "open";

function compile(rule: Rule) {
  const problems: Problem[] = [];
  const alternatives = alternativesOf(rule, "rule", { problems, protocols: [], rulesOf: () => undefined, ciphers });
  expect(problems).toEqual([]);
  const program = programOf(alternatives);
  const matcher = createMatcher(program);
  const answer = (bytes: Uint8Array, ended: boolean): Answer => {
    const outcomes = alternatives.map((_, index) => matcher(index, bytes, bytes.length, ended));
    return outcomes.some((outcome) => outcome > 0) ? "yes" : outcomes.includes(0) ? "open" : "no";
  };
  return { answer, program };
}

/** `ended` is written as a final "$". */
function ask(rule: Rule, text: string): Answer {
  const ended = text.endsWith("$");
  return compile(rule).answer(bytesOf(ended ? text.slice(0, -1) : text, undefined), ended);
}

describe("each kind of rule", () => {
  test.each<[string, Rule, [string, Answer][]]>([
    [
      "bytes",
      { kind: "bytes", at: 1, hex: "41 42" },
      [
        ["x", "open"],
        ["xA", "open"],
        ["xAB", "yes"],
        ["xB", "no"],
        ["xA$", "no"],
      ],
    ],
    [
      "bytes under a mask",
      { kind: "bytes", hex: "40", mask: "f0" },
      [
        ["A", "yes"],
        ["O", "yes"],
        ["P", "no"],
      ],
    ],
    [
      "one of several",
      { kind: "bytes", hex: ["41", "42 43"] },
      [
        ["A", "yes"],
        ["B", "open"],
        ["BC", "yes"],
        ["C", "no"],
      ],
    ],
    [
      "text in any case",
      { kind: "text", text: "Get ", ignoreCase: true },
      [
        ["gEt ", "yes"],
        ["gEt\u0000", "no"],
      ],
    ],
    [
      "a run",
      { kind: "run", class: "digit", min: 3 },
      [
        ["12", "open"],
        ["123", "yes"],
        ["12a", "no"],
        ["12$", "no"],
      ],
    ],
    [
      "a run with a follower",
      { kind: "run", class: "digit", min: 2, max: 3, until: "0a" },
      [
        ["12", "open"],
        ["12\n", "yes"],
        ["1\n", "no"],
        ["123\n", "yes"],
        ["1234", "no"],
        ["12x", "no"],
      ],
    ],
    ["a run with more bytes", { kind: "run", class: "digit", also: "2d", min: 3 }, [["1-2", "yes"]]],
    [
      "a run to the end",
      { kind: "run", class: "digit", min: 2, max: 4, until: "end" },
      [
        ["12", "open"],
        ["12$", "yes"],
        ["1$", "no"],
        ["12345", "no"],
        ["12a", "no"],
      ],
    ],
    [
      "a big-endian number",
      { kind: "number", at: 1, size: 2, endian: "big", min: 0x0102, max: 0x0103 },
      [
        ["x\u0001", "open"],
        ["x\u0001\u0002", "yes"],
        ["x\u0002\u0001", "no"],
      ],
    ],
    [
      "a little-endian number",
      { kind: "number", size: 4, endian: "little", min: 0xff00_0001 },
      [
        ["\u0001\u0000\u0000\u00ff", "yes"],
        ["\u0000\u0000\u0000\u00ff", "no"],
      ],
    ],
    [
      "a number that equals the length",
      { kind: "number", size: 1, max: 9, length: "equals", plus: 1 },
      [
        ["\u0002ab", "open"],
        ["\u0002ab$", "yes"],
        ["\u0002abc", "no"],
        ["\u0002a$", "no"],
      ],
    ],
    [
      "a number within the length",
      { kind: "number", size: 1, max: 9, length: "within", plus: 1 },
      [
        ["\u0002a", "open"],
        ["\u0002ab", "yes"],
        ["\u0002abc", "yes"],
        ["\u0002a$", "no"],
      ],
    ],
    [
      "a least length",
      { kind: "length", min: 2 },
      [
        ["a", "open"],
        ["ab", "yes"],
        ["a$", "no"],
      ],
    ],
    [
      "a greatest length",
      { kind: "length", max: 2 },
      [
        ["a", "open"],
        ["ab$", "yes"],
        ["abc", "no"],
      ],
    ],
    [
      "whole blocks",
      { kind: "length", multipleOf: 4, after: 1, max: 9 },
      [
        ["abcde", "open"],
        ["abcde$", "yes"],
        ["abcd$", "no"],
        ["a$", "no"],
        ["abcdefghij", "no"],
      ],
    ],
    [
      "all",
      {
        kind: "all",
        rules: [
          { kind: "text", text: "a" },
          { kind: "text", at: 1, text: "b" },
        ],
      },
      [
        ["a", "open"],
        ["ab", "yes"],
        ["b", "no"],
      ],
    ],
    [
      "any",
      {
        kind: "any",
        rules: [
          { kind: "text", text: "ab" },
          { kind: "text", text: "ac" },
        ],
      },
      [
        ["a", "open"],
        ["ac", "yes"],
        ["ad", "no"],
      ],
    ],
    [
      "not",
      {
        kind: "not",
        rule: {
          kind: "any",
          rules: [
            { kind: "text", text: "ab" },
            { kind: "length", max: 1 },
          ],
        },
      },
      [
        ["a", "open"],
        ["ab", "no"],
        ["ac", "yes"],
        ["c$", "no"],
      ],
    ],
    [
      "after a run of any length",
      {
        kind: "all",
        rules: [
          { kind: "run", class: "upper", max: 9, until: "20" },
          { kind: "run", class: "visible", max: 9, until: "20", after: true },
          { kind: "text", text: "V", at: 1, after: true },
        ],
      },
      [
        ["GO", "open"],
        ["GO /x ", "open"],
        ["GO /x .V", "yes"],
        ["GO /x .W", "no"],
        ["go", "no"],
        ["GO /x $", "no"],
      ],
    ],
  ])("%s", (_, rule, cases) => {
    for (const [text, answer] of cases) expect<unknown>([text, ask(rule, text)]).toEqual([text, answer]);
  });
});

const digits = fc.constantFrom("61", "62", "0a", "00");
const atom: fc.Arbitrary<Rule> = fc.oneof(
  fc.record({ kind: fc.constant("bytes" as const), at: fc.nat(4), hex: digits }),
  fc.record({
    kind: fc.constant("run" as const),
    at: fc.nat(3),
    class: fc.constantFrom("lower" as const, "text" as const),
    min: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({
    kind: fc.constant("run" as const),
    class: fc.constant("lower" as const),
    max: fc.integer({ min: 1, max: 4 }),
    until: fc.constantFrom("0a", "end" as const),
  }),
  fc.record({
    kind: fc.constant("number" as const),
    at: fc.nat(2),
    size: fc.constant(1),
    max: fc.nat(9),
    length: fc.constantFrom("equals" as const, "within" as const),
  }),
  fc.record({ kind: fc.constant("length" as const), min: fc.integer({ min: 1, max: 5 }) }),
  fc.record({
    kind: fc.constant("length" as const),
    max: fc.integer({ min: 5, max: 8 }),
    multipleOf: fc.integer({ min: 2, max: 3 }),
  }),
);
const anyRule: fc.Arbitrary<Rule> = fc.letrec<{ rule: Rule }>((tie) => ({
  rule: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    atom,
    fc.record({
      kind: fc.constantFrom("all" as const, "any" as const),
      rules: fc.array(tie("rule"), { minLength: 1, maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant("not" as const), rule: tie("rule") }),
  ),
})).rule;
const shortStream = fc
  .array(fc.constantFrom(0x61, 0x62, 0x0a, 0x00, 0x03, 0x05), { maxLength: 10 })
  .map((bytes) => Uint8Array.from(bytes));

describe("any rule over any bytes", () => {
  test("what a prefix decides, more bytes do not change; the end decides everything", () => {
    fc.assert(
      fc.property(anyRule, shortStream, (rule, bytes) => {
        const { answer, program } = compile(rule);
        const final = answer(bytes, true);
        expect(final).not.toBe("open");
        for (let length = 0; length <= bytes.length; length++) {
          const soFar = answer(bytes.slice(0, length), false);
          if (soFar !== "open") expect<unknown>([length, soFar]).toEqual([length, final]);
          if (length >= program.horizonBytes) expect(soFar).not.toBe("open");
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("a rule and its negation disagree", () => {
    fc.assert(
      fc.property(anyRule, shortStream, (rule, bytes) => {
        expect(compile({ kind: "not", rule }).answer(bytes, true)).not.toBe(compile(rule).answer(bytes, true));
      }),
    );
  });

  test("the first byte rules out only what fails", () => {
    fc.assert(
      fc.property(anyRule, shortStream, (rule, bytes) => {
        const { program } = compile(rule);
        const matcher = createMatcher(program);
        const kept = program.byFirstByte[bytes[0] ?? 0];
        for (let index = 0; (index + 1) * startCells < program.starts.length; index++) {
          if (bytes.length > 0 && kept?.includes(index) === false)
            expect(matcher(index, bytes, bytes.length, true)).toBeLessThan(0);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("the library", () => {
  test.each(recognisers.map((recogniser) => [recogniser.name, recogniser] as const))("%s is valid", (_, recogniser) => {
    expect(recogniserSchema.safeParse(recogniser).error?.issues).toBeUndefined();
  });

  test("random bytes would satisfy fewer than 1 of 10,000,000", () => {
    const problems: Problem[] = [];
    const alternatives = recognisers.flatMap(({ name, rules }) =>
      rules.flatMap((rule) =>
        alternativesOf(rule, name, { problems, protocols: [], rulesOf: () => undefined, ciphers }),
      ),
    );
    expect(problems).toEqual([]);
    // What waits for the client's silence is counted apart, and what is shorter than a friend's block.
    const immediate = alternatives.filter(
      (alternative) => boundsOf(alternative).maxLength >= 16 && !alternative.some((term) => term.test.kind === "rest"),
    );
    const chance = immediate.reduce((sum, alternative) => sum + 2 ** -evidenceBits(alternative), 0);
    expect(chance * 1e7).toBeLessThan(1);
    for (const alternative of immediate) expect(evidenceBits(alternative)).toBeGreaterThan(24);
  });

  /** Below 30 bits in all, of which none is where a header could be. */
  const beyondHeaders = { radius: 28, lpd: 29 };

  test.each(recognisers.map((recogniser) => [recogniser.name, recogniser] as const))(
    "%s: every rule has 30 bits of evidence",
    (name, { rules }) => {
      const problems: Problem[] = [];
      const bits = rules
        .flatMap((rule) => alternativesOf(rule, name, { problems, protocols: [], rulesOf: () => undefined, ciphers }))
        .filter(
          (alternative) =>
            boundsOf(alternative).maxLength >= 16 && !alternative.some((term) => term.test.kind === "rest"),
        )
        .map(evidenceBits);
      const least = Object.entries(beyondHeaders).find(([exception]) => exception === name)?.[1] ?? 30;
      expect(Math.min(Number.POSITIVE_INFINITY, ...bits)).toBeGreaterThanOrEqual(least);
    },
  );
});
