// SPDX-License-Identifier: Apache-2.0
// The experts of the betting test: what each expects of the next byte, given the bytes before it, in
// shares of certainty. What a description leaves over is spread over all 256 values, so that each is a
// probability distribution. docs/verdict.md says what becomes of them.
import type { BeforeKind, ByteKind, LastKind } from "./byte_kind.ts";

/** Shares of certainty; within a kind all values are alike. They sum up to less than 1. */
export type Shares = Partial<Readonly<Record<ByteKind, number>>>;

/** Holds where the byte before is of one of these kinds, and the one before that. The first that holds counts. */
export interface Case {
  readonly last?: readonly LastKind[];
  readonly before?: readonly BeforeKind[];
  readonly next: Shares;
}

/** Knows what kind the last two bytes are of. */
export interface WritingExpert {
  readonly kind: "writing";
  readonly name: string;
  readonly cases: readonly Case[];
}

/** Knows the difference from the byte so many places before. */
export interface StepExpert {
  readonly kind: "step";
  readonly name: string;
  readonly distance: 1 | 2 | 4 | 8;
  /** The same byte again, one more, within 8 either way. */
  readonly same: number;
  readonly next: number;
  readonly near: number;
}

/**
 * Knows how often each byte came before, the header's included: of a few values the next is one of them. It says
 * nothing of the header itself.
 */
export interface MemoryExpert {
  readonly kind: "memory";
  readonly name: string;
  /** What a value counts that has not come yet. */
  readonly unseen: number;
}

export type Expert = WritingExpert | StepExpert | MemoryExpert;

const text: Shares = {
  frequent: 0.36,
  lower: 0.2,
  upper: 0.08,
  digit: 0.1,
  space: 0.08,
  mark: 0.12,
  lineEnd: 0.03,
};

/** Lines, words, JSON, XML, hexadecimal and base64. */
const writing: WritingExpert = {
  kind: "writing",
  name: "text",
  cases: [
    {
      last: ["lower"],
      next: { frequent: 0.46, lower: 0.27, upper: 0.03, digit: 0.03, space: 0.07, mark: 0.11, lineEnd: 0.015 },
    },
    {
      last: ["upper"],
      next: { upper: 0.38, frequent: 0.24, lower: 0.1, digit: 0.09, mark: 0.11, space: 0.04, lineEnd: 0.015 },
    },
    {
      last: ["digit"],
      next: { digit: 0.5, hexLetter: 0.12, upper: 0.05, lower: 0.06, mark: 0.16, space: 0.05, lineEnd: 0.04 },
    },
    {
      last: ["blank"],
      next: { upper: 0.2, frequent: 0.25, lower: 0.13, digit: 0.12, mark: 0.12, space: 0.08, lineEnd: 0.08 },
    },
    {
      last: ["mark"],
      next: { frequent: 0.22, lower: 0.14, upper: 0.12, digit: 0.18, mark: 0.2, space: 0.09, lineEnd: 0.02 },
    },
    { next: text },
  ],
};

/** Text that is older than Unicode: alphabets of one byte a letter, ideographs of two, EBCDIC. */
const codePages: WritingExpert = {
  kind: "writing",
  name: "text",
  cases: [
    {
      last: ["follow", "lead", "ones"],
      next: { high: 0.18, double: 0.3, letter8: 0.32, space: 0.08, space40: 0.05, mark: 0.03, lineEnd: 0.01 },
    },
    { last: ["blank", "mark"], next: { high: 0.25, double: 0.2, letter8: 0.35, space: 0.05, printable: 0.12 } },
    { next: { high: 0.2, double: 0.15, letter8: 0.25, printable: 0.25, space: 0.06, mark: 0.05 } },
  ],
};

/** Names and numbers behind one another: strings with their lengths, between fields with zeros. */
const records: WritingExpert = {
  kind: "writing",
  name: "binary",
  cases: [
    { last: ["zero"], before: ["zero"], next: { zero: 0.5, small: 0.2, control: 0.05, printable: 0.13, ones: 0.02 } },
    { last: ["zero"], next: { zero: 0.35, small: 0.25, control: 0.07, printable: 0.2, ones: 0.02 } },
    {
      last: ["small"],
      before: ["zero"],
      next: { zero: 0.32, small: 0.14, control: 0.08, frequent: 0.14, printable: 0.2, ones: 0.01 },
    },
    {
      last: ["small"],
      next: { zero: 0.24, small: 0.16, control: 0.08, frequent: 0.14, printable: 0.24, ones: 0.01 },
    },
    { last: ["lower"], next: { frequent: 0.4, lower: 0.25, mark: 0.08, printable: 0.06, zero: 0.06, control: 0.06 } },
    { last: ["upper"], next: { upper: 0.36, frequent: 0.2, printable: 0.18, zero: 0.08, control: 0.07 } },
    { last: ["digit", "mark", "blank"], next: { digit: 0.2, frequent: 0.2, printable: 0.3, zero: 0.1, control: 0.1 } },
    { last: ["ones"], next: { ones: 0.45, zero: 0.2, small: 0.07, printable: 0.04 } },
    {
      last: ["follow"],
      next: { frequent: 0.2, printable: 0.26, zero: 0.14, small: 0.12, control: 0.05, follow: 0.12, ones: 0.01 },
    },
    { next: { zero: 0.25, small: 0.12, control: 0.06, printable: 0.12, high: 0.25, ones: 0.02 } },
  ],
};

/** Numbers of two, four and eight bytes, flags and padding. */
const numbers: WritingExpert = {
  kind: "writing",
  name: "binary",
  cases: [
    { last: ["zero"], before: ["zero"], next: { zero: 0.7, one: 0.06, small: 0.09, control: 0.02, printable: 0.02 } },
    { last: ["zero"], next: { zero: 0.56, one: 0.09, small: 0.14, control: 0.03, printable: 0.05 } },
    { last: ["ones"], next: { ones: 0.7, zero: 0.12 } },
    { next: { zero: 0.56, one: 0.04, small: 0.12, control: 0.03, printable: 0.05, ones: 0.02 } },
  ],
};

/** UTF-8 in scripts of other alphabets and in ideographs. */
const scripts: WritingExpert = {
  kind: "writing",
  name: "utf-8",
  cases: [
    { last: ["lead"], next: { follow: 0.97 } },
    { last: ["follow"], before: ["lead"], next: { follow: 0.9, space: 0.01 } },
    {
      last: ["follow"],
      next: { script: 0.42, lead: 0.1, ideograph: 0.19, lead3: 0.08, space: 0.08, mark: 0.06, frequent: 0.03 },
    },
    {
      last: ["blank", "mark"],
      next: { script: 0.3, lead: 0.06, ideograph: 0.2, space: 0.08, mark: 0.15, printable: 0.15 },
    },
    { next: { frequent: 0.26, lower: 0.16, mark: 0.15, digit: 0.1, space: 0.06, script: 0.08, ideograph: 0.08 } },
  ],
};

/** UTF-16, either way round, and other texts with a zero after each byte. */
const wide: WritingExpert = {
  kind: "writing",
  name: "utf-16",
  cases: [
    {
      last: ["zero"],
      before: ["printable"],
      next: { frequent: 0.34, lower: 0.22, upper: 0.1, digit: 0.1, mark: 0.1, space: 0.04, zero: 0.07 },
    },
    { last: ["zero"], next: { zero: 0.4, printable: 0.3, small: 0.12 } },
    { last: ["lower", "upper", "digit", "mark", "blank"], next: { zero: 0.93 } },
    { next: { zero: 0.6, small: 0.1, printable: 0.1 } },
  ],
};

/** Bytes of a few small values: opcodes, tags, nested lengths. */
const tags: WritingExpert = {
  kind: "writing",
  name: "binary",
  cases: [
    { next: { zero: 0.13, one: 0.05, small: 0.29, control: 0.12, ber: 0.16, low: 0.12, ones: 0.02, printable: 0.06 } },
  ],
};

/** Base64, identifiers and keys: letters and digits without a word among them. */
const letters: WritingExpert = {
  kind: "writing",
  name: "text",
  cases: [{ next: { upper: 0.37, lower: 0.37, digit: 0.17, mark: 0.07 } }],
};

const again: StepExpert = { kind: "step", name: "pattern", distance: 1, same: 0.38, next: 0.23, near: 0.1 };
const pairs: StepExpert = { kind: "step", name: "pattern", distance: 2, same: 0.42, next: 0.05, near: 0.15 };
const words: StepExpert = { kind: "step", name: "pattern", distance: 4, same: 0.42, next: 0.06, near: 0.12 };
const doubles: StepExpert = { kind: "step", name: "pattern", distance: 8, same: 0.38, next: 0.03, near: 0.09 };

/** Periods of any length, alphabets that no other knows, text behind a constant that is added to it. */
export const memoryExpert: MemoryExpert = { kind: "memory", name: "pattern", unseen: 1 / 64 };

/** In the order that gives the name where two are certain with the same byte. */
export const writingExperts: readonly WritingExpert[] = [
  writing,
  scripts,
  wide,
  records,
  numbers,
  codePages,
  tags,
  letters,
];
export const stepExperts: readonly StepExpert[] = [again, pairs, words, doubles];
export const experts: readonly Expert[] = [...writingExperts, ...stepExperts, memoryExpert];
