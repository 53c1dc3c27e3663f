// SPDX-License-Identifier: Apache-2.0
// A rule taken apart: alternatives, each a list of terms that must all hold, each term one plain test
// with its bytes parsed. `any`, `all`, `not` and lists of texts are gone; an offset relative to the
// term before is known as far as it can be. Works at load time only; speed does not matter here.

import { type Ciphers, cipherProbe } from "./cipher.ts";
import { ciphertextProbe } from "./ciphertext.ts";
import { type ByteSet, byteSetOfBytes, byteSetOfClass, unionOf } from "./class.ts";
import { helloProbe } from "./hello.ts";
import type { Probe } from "./probe.ts";
import { randomProbe } from "./random.ts";
import { type Atom, type NumberRule, parseHex, type Rule, type RunRule } from "./signature.ts";

export type Test =
  | { readonly kind: "bytes"; readonly value: Uint8Array; readonly mask: Uint8Array }
  /** Ends at `min` bytes without `until`; else with one byte of it after at most `max`. */
  | {
      readonly kind: "run";
      readonly set: ByteSet;
      readonly min: number;
      readonly max: number;
      readonly until?: ByteSet;
    }
  /** Everything up to the end of what the client sends. */
  | { readonly kind: "rest"; readonly set: ByteSet; readonly min: number; readonly max: number }
  | {
      readonly kind: "number";
      readonly size: number;
      readonly little: boolean;
      readonly min: number;
      readonly max: number;
      readonly length: "free" | "equals" | "within";
      readonly plus: number;
    }
  | { readonly kind: "length"; readonly min: number; readonly max: number }
  | { readonly kind: "blocks"; readonly size: number; readonly after: number; readonly max: number }
  /** User space only. */
  | { readonly kind: "probe"; readonly probe: Probe };

export interface Term {
  readonly test: Test;
  readonly negated: boolean;
  /** Bytes from the start, or from the end of the term before when `relative`. */
  readonly at: number;
  readonly relative: boolean;
  /** Where in the source the test stands, such as `rules[0].rules[2]`. */
  readonly path: string;
}

/** Terms that must all hold, in the order of the source. */
export type Alternative = readonly Term[];

/** What a profile can name, and what only the process can do. */
export interface SignatureContext {
  /** Receives what is wrong; the result of a call that added to it is not complete. */
  readonly problems: Problem[];
  /** Names of the library's recognisers. */
  readonly protocols: readonly string[];
  /** The rules of one of them; undefined when there is none of that name. */
  rulesOf(protocol: string): readonly Rule[] | undefined;
  readonly ciphers: Ciphers;
}

/** Something wrong with a signature or profile, and where. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

/** What one rule may multiply out to; 64 HTTP methods times 4 targets fit. */
const maxAlternatives = 512;

export function alternativesOf(rule: Rule, path: string, context: SignatureContext): Alternative[] {
  const alternatives = expand(rule, path, false, context);
  return alternatives.map((terms) => placed(terms, context.problems));
}

function expand(rule: Rule, path: string, negated: boolean, context: SignatureContext): Term[][] {
  switch (rule.kind) {
    case "not":
      return expand(rule.rule, `${path}.rule`, !negated, context);
    case "all":
    case "any": {
      const parts = rule.rules.map((inner, index) => expand(inner, `${path}.rules[${index}]`, negated, context));
      return (rule.kind === "any") === negated ? product(parts, path, context.problems) : parts.flat();
    }
    case "protocol": {
      const rules = context.rulesOf(rule.name);
      if (rules !== undefined) return expand({ kind: "any", rules: [...rules] }, path, negated, context);
      context.problems.push({
        path: `${path}.name`,
        message: `There is no recogniser "${rule.name}"; known are ${context.protocols.join(", ")}`,
      });
      return [];
    }
    case "ciphertext":
      if (!negated) return testsOf(rule, path, context).map((test) => [termOf(rule, test, negated, path)]);
      context.problems.push({ path, message: "What is no ciphertext has no rule; drop not, or write what is foreign" });
      return [];
    default: {
      const terms = testsOf(rule, path, context).map((test) => [termOf(rule, test, negated, path)]);
      // A list of texts or of byte strings is `any`; several tests of one length are `all`.
      const isAny = rule.kind === "bytes" || rule.kind === "text";
      if (isAny !== negated) return terms;
      const parts = terms.map((term) => [term]);
      return product(parts, path, context.problems);
    }
  }
}

function product(parts: Term[][][], path: string, problems: Problem[]): Term[][] {
  const count = parts.reduce((total, part) => total * part.length, 1);
  if (count > maxAlternatives) {
    problems.push({
      path,
      message: `The rule multiplies out to ${count} alternatives and ${maxAlternatives} is the limit; split it into several rules`,
    });
    return [];
  }
  return parts.reduce<Term[][]>((heads, part) => heads.flatMap((head) => part.map((tail) => [...head, ...tail])), [[]]);
}

function termOf(rule: Atom, test: Test, negated: boolean, path: string): Term {
  const at = "at" in rule ? (rule.at ?? 0) : 0;
  const relative = "after" in rule && rule.after === true;
  return { test, negated, at, relative, path };
}

function testsOf(rule: Atom, path: string, context: SignatureContext): Test[] {
  switch (rule.kind) {
    case "bytes":
      return [rule.hex].flat().map((hex) => {
        const value = parseHex(hex);
        const mask = rule.mask === undefined ? value.map(() => 0xff) : parseHex(rule.mask);
        return { kind: "bytes", value: value.map((byte, index) => byte & (mask[index] ?? 0)), mask };
      });
    case "text":
      return [rule.text].flat().map((text) => textTest(text, rule.ignoreCase === true));
    case "run":
      return [runTest(rule)];
    case "number":
      return [numberTest(rule)];
    case "length": {
      const tests: Test[] = [];
      const max = rule.max ?? Number.POSITIVE_INFINITY;
      if (rule.multipleOf !== undefined)
        tests.push({ kind: "blocks", size: rule.multipleOf, after: rule.after ?? 0, max });
      if (rule.min !== undefined || rule.multipleOf === undefined)
        tests.push({ kind: "length", min: rule.min ?? 0, max });
      return tests;
    }
    case "tls":
      return [{ kind: "probe", probe: helloProbe(rule) }];
    case "random":
      return [{ kind: "probe", probe: randomProbe(rule) }];
    case "ciphertext":
      return [{ kind: "probe", probe: ciphertextProbe(rule) }];
    case "aes256": {
      const probe = cipherProbe(rule, context.ciphers);
      if (probe.kind === "probe") return [{ kind: "probe", probe: probe.probe }];
      context.problems.push({ path: `${path}.${probe.field}`, message: probe.message });
      return [];
    }
  }
}

/** The bit that tells an ASCII letter's case. */
const caseBit = 0x20;

function textTest(text: string, ignoreCase: boolean): Test {
  const value = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const mask = value.map((byte) => (ignoreCase && /[a-z]/i.test(String.fromCharCode(byte)) ? 0xff & ~caseBit : 0xff));
  return { kind: "bytes", value: value.map((byte, index) => byte & (mask[index] ?? 0)), mask };
}

function runTest(rule: RunRule): Test {
  const named = byteSetOfClass(rule.class);
  const set = rule.also === undefined ? named : unionOf(named, byteSetOfBytes(parseHex(rule.also)));
  const min = rule.min ?? 1;
  if (rule.until === undefined) return { kind: "run", set, min, max: min };
  const max = rule.max ?? min;
  if (rule.until === "end") return { kind: "rest", set, min, max };
  return { kind: "run", set, min, max, until: byteSetOfBytes(parseHex(rule.until)) };
}

function numberTest(rule: NumberRule): Test {
  return {
    kind: "number",
    size: rule.size,
    little: rule.endian === "little",
    min: rule.min ?? 0,
    max: rule.max ?? 0xffff_ffff,
    length: rule.length ?? "free",
    plus: rule.plus ?? 0,
  };
}

/** Turns relative offsets into absolute ones where the term before has a fixed end. */
function placed(terms: readonly Term[], problems: Problem[]): Alternative {
  let end: number | "varies" | undefined;
  return terms.map((term) => {
    if (term.relative && end === undefined) {
      const message =
        "There is nothing with an end before this; put a bytes, text, number or a run with until before it, or drop after";
      problems.push({ path: `${term.path}.after`, message });
    }
    const fixed = term.relative && typeof end === "number" ? { ...term, at: term.at + end, relative: false } : term;
    if (!term.negated) end = endOf(fixed, end);
    return fixed;
  });
}

function endOf(term: Term, before: number | "varies" | undefined): number | "varies" | undefined {
  const size = extentOf(term.test);
  if (size === undefined) return before;
  if (size === "unknown") return undefined;
  return term.relative || size === "varies" ? "varies" : term.at + size;
}

/** How many bytes a test covers; undefined where it is not about a place. */
function extentOf(test: Test): number | "varies" | "unknown" | undefined {
  switch (test.kind) {
    case "bytes":
      return test.value.length;
    case "number":
      return test.size;
    case "run":
      if (test.until === undefined) return "unknown";
      return test.min === test.max ? test.min + 1 : "varies";
    case "rest":
      return "unknown";
    case "length":
    case "blocks":
    case "probe":
      return undefined;
  }
}
