// SPDX-License-Identifier: Apache-2.0
// Random profiles out of everything that a signature table can hold, and a little that it cannot. Built
// from the recognisers' schema and taken apart by the code of production; not checked for overlaps, since
// what both expects and refutes shows most of an engine.

import { ciphers } from "../../src/config/profile.ts";
import { type NamedAlternatives, type Profile, signatureContext } from "../../src/core/profile/profile.ts";
import { boundsOf, canMatch } from "../../src/core/signature/bounds.ts";
import { byteClassNames } from "../../src/core/signature/class.ts";
import { ruleSchema } from "../../src/core/signature/signature.ts";
import { type Alternative, alternativesOf } from "../../src/core/signature/term.ts";
import { pick, type Random } from "../harness/random.ts";

/** Few values, so that rules meet. */
const values = [0x00, 0x01, 0x0a, 0x20, 0x30, 0x41, 0x61, 0x7f, 0x80, 0xff];
const numbers = [
  0,
  1,
  2,
  3,
  7,
  8,
  9,
  15,
  16,
  63,
  64,
  127,
  128,
  200,
  255,
  256,
  257,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32 - 1,
];

export function grownProfile(random: Random): Profile {
  const known = Array.from({ length: 1 + random(6) }, (_, index) => ({
    name: `grown-${index}`,
    refutes: random(2) === 0,
    // What no table holds is left out of the others, and refuses the profile here: no table is empty.
    isOwn: index === 0,
    isKin: false,
    isOverruled: false,
    alternatives: grownAlternatives(random),
  }));
  const expect = random(8) === 0 ? [] : random(3) === 0 ? bettingAlternatives(random) : grownAlternatives(random);
  const hasNear = random(3) === 0;
  const near = hasNear ? grownAlternatives(random) : [];
  const named = known.map((part) => ({ ...part, ...kinshipOf(random, hasNear && !part.refutes) }));
  return {
    name: "grown",
    expect,
    known: named,
    near,
    hasNear,
    fallback: pick(random, ["foreign", "foreign", "accept", "undecided"]),
  };
}

function kinshipOf(random: Random, isPossible: boolean): Pick<NamedAlternatives, "isKin" | "isOverruled"> {
  const kind = isPossible ? random(3) : 0;
  return { isKin: kind === 1, isOverruled: kind === 2 };
}

/** Ciphertext, by itself, with something beside it, or one of two kinds of it. */
function bettingAlternatives(random: Random): Alternative[] {
  return grownAlternatives(random, () => {
    switch (random(4)) {
      case 0:
        return { kind: "all", rules: [grownAtom(random), ciphertextRule(random)] };
      case 1:
        return { kind: "any", rules: [ciphertextRule(random), grownRule(random, 1), ciphertextRule(random)] };
      default:
        return ciphertextRule(random);
    }
  });
}

function ciphertextRule(random: Random): object {
  const header = random(3) === 0 ? random(17) : 16;
  const shortest = random(3) === 0 ? Math.max(32, header + 16) + random(96 - 32 + 1) : 44;
  return {
    kind: "ciphertext",
    header,
    shortest: Math.min(96, shortest),
    banBits: 20 + random(random(3) === 0 ? 41 : 5),
    acceptBits: random(20) / 4,
  };
}

function grownAlternatives(random: Random, grow = () => grownRule(random, 2)): Alternative[] {
  for (;;) {
    const context = signatureContext(ciphers);
    const rule = ruleSchema.safeParse(grow());
    if (!rule.success) continue;
    const alternatives = alternativesOf(rule.data, "rules[0]", context).filter((each) => canMatch(boundsOf(each)));
    if (context.problems.length === 0 && alternatives.length > 0 && alternatives.length <= 64) return alternatives;
  }
}

/** Most are lists of what must stand one behind the other, as in a protocol. */
function grownRule(random: Random, depth: number): unknown {
  if (depth === 2 && random(6) === 0) return chain(random);
  if (depth === 0 || random(8) === 0) return grownAtom(random);
  const rules = Array.from({ length: 1 + random(random(8) === 0 ? 12 : 4) }, () => grownRule(random, depth - 1));
  switch (random(10)) {
    case 0:
    case 1:
      return { kind: "any", rules };
    case 2:
      return { kind: "not", rule: grownRule(random, depth - 1) };
    default:
      return { kind: "all", rules };
  }
}

/** Behind a word of any length nothing has a place of its own. */
function chain(random: Random): unknown {
  const first = {
    kind: "run",
    class: pick(random, ["any", "printable", "token"]),
    min: random(3),
    max: 3 + random(6),
    until: "0a 20",
  };
  const next = () => ({
    ...pick(random, [bytesRule, numberRule, numberRule, runRule])(random),
    after: true,
    at: random(3),
  });
  return { kind: "all", rules: [first, ...Array.from({ length: 1 + random(4) }, next)] };
}

function grownAtom(random: Random): unknown {
  const rule = pick(random, [bytesRule, textRule, runRule, numberRule, lengthRule])(random);
  const isTied = "length" in rule;
  return random(isTied ? 3 : 7) === 0 ? { kind: "not", rule } : rule;
}

const hexOf = (bytes: readonly number[]) => bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
const list = (length: number, item: () => number) => Array.from({ length }, item);

function place(random: Random): object {
  switch (random(8)) {
    case 0:
    case 1:
      return {};
    case 2:
    case 3:
    case 4:
      return { after: true, ...(random(2) === 0 ? { at: random(4) } : {}) };
    case 5:
      return { at: random(random(6) === 0 ? 260 : 40) };
    default:
      return { at: random(10) };
  }
}

function bytesRule(random: Random): object {
  const count = 1 + random(random(4) === 0 ? 30 : 5);
  const hex = () => hexOf(list(count, () => (random(8) === 0 ? random(256) : pick(random, values))));
  const mask = () => hexOf(list(count, () => pick(random, [0x00, 0xff, 0xff, 0xf0, 0x0f, 0x80, random(256)])));
  return {
    kind: "bytes",
    ...place(random),
    hex: random(4) === 0 ? [hex(), hex()] : hex(),
    ...(random(3) === 0 ? { mask: mask() } : {}),
  };
}

function textRule(random: Random): object {
  const text = () =>
    String.fromCharCode(...list(1 + random(random(4) === 0 ? 20 : 4), () => pick(random, values) & 0x7f));
  const word = pick(random, ["GET ", "get", "a", "HELO mail.example.org", "\r\n", text()]);
  return { kind: "text", ...place(random), text: random(4) === 0 ? [word, text()] : word, ignoreCase: random(2) === 0 };
}

function runRule(random: Random): object {
  const base = {
    kind: "run",
    ...place(random),
    class: pick(random, byteClassNames),
    ...(random(3) === 0 ? { also: hexOf(list(1 + random(3), () => pick(random, values))) } : {}),
  };
  if (random(3) === 0) return { ...base, min: 1 + random(random(4) === 0 ? 60 : 6) };
  const min = random(6);
  const until = random(4) === 0 ? "end" : hexOf(list(1 + random(3), () => pick(random, values)));
  return { ...base, min, max: min + random(random(4) === 0 ? 80 : 8), until };
}

function numberRule(random: Random): object {
  const size = 1 + random(4);
  const [low = 0, high = 0] = [pick(random, numbers), pick(random, numbers)].sort((a, b) => a - b);
  const base = { kind: "number", ...place(random), size, endian: pick(random, ["big", "little"]) };
  if (random(2) === 0) return { ...base, ...(random(3) === 0 ? {} : { min: low }), max: high };
  return {
    ...base,
    ...(random(2) === 0 ? { min: Math.min(low, 20) } : {}),
    max: 20 + random(random(6) === 0 ? 300 : 100),
    length: pick(random, ["equals", "within"]),
    ...(random(2) === 0 ? { plus: random(60) - 30 } : {}),
  };
}

function lengthRule(random: Random): object {
  const min = 1 + random(40);
  const max = min + random(random(6) === 0 ? 250 : 40);
  switch (random(4)) {
    case 0:
      return { kind: "length", min };
    case 1:
      return { kind: "length", max };
    case 2:
      return { kind: "length", max, multipleOf: 2 + random(15), after: random(5) };
    default:
      return { kind: "length", min, max };
  }
}
