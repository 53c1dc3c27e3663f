// SPDX-License-Identifier: Apache-2.0
// Kinds of byte values: what an expert may say of the next byte, and what it may know of the two bytes
// before it. Data only.

type Ranges = readonly (readonly [low: number, high: number])[];

/** Sets that a description may give weight to; they may overlap. */
const sets = {
  zero: [[0x00, 0x00]],
  one: [[0x01, 0x01]],
  ones: [[0xff, 0xff]],
  /** Small numbers: flags, types, lengths of short fields. */
  small: [[0x01, 0x0f]],
  control: [[0x01, 0x1f]],
  low: [[0x01, 0x3f]],
  lineEnd: [
    [0x0a, 0x0a],
    [0x0d, 0x0d],
  ],
  space: [[0x20, 0x20]],
  digit: [[0x30, 0x39]],
  upper: [[0x41, 0x5a]],
  lower: [[0x61, 0x7a]],
  /** The ten letters that make up two thirds of European text. */
  frequent: [..."aeilnorsth"].map((letter) => [letter.charCodeAt(0), letter.charCodeAt(0)] as const),
  hexLetter: [
    [0x41, 0x46],
    [0x61, 0x66],
  ],
  mark: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  printable: [[0x20, 0x7e]],
  /** UTF-8: what follows a lead byte, and lead bytes of two, three and four. RFC 3629. */
  follow: [[0x80, 0xbf]],
  lead: [[0xc2, 0xdf]],
  /** Cyrillic, Greek, Hebrew and Arabic lie here. */
  script: [
    [0xce, 0xd1],
    [0xd7, 0xd9],
  ],
  lead3: [[0xe0, 0xef]],
  lead4: [[0xf0, 0xf4]],
  /** CJK and Hangul. */
  ideograph: [[0xe3, 0xed]],
  high: [[0x80, 0xff]],
  /** Characters of two bytes, as GBK and EUC have them, and the letters of most alphabets in one byte. */
  double: [[0xa1, 0xfe]],
  letter8: [[0xc0, 0xff]],
  /** A space in EBCDIC. */
  space40: [[0x40, 0x40]],
  /** Sequences, and what a context numbers: X.690. */
  ber: [
    [0x30, 0x31],
    [0x60, 0x61],
    [0x80, 0x85],
    [0xa0, 0xa5],
  ],
} as const satisfies Readonly<Record<string, Ranges>>;

export type ByteKind = keyof typeof sets;

export const byteKinds: Readonly<Record<ByteKind, readonly number[]>> = Object.fromEntries(
  Object.entries(sets).map(([name, ranges]) => [
    name,
    ranges.flatMap(([low, high]) => Array.from({ length: high - low + 1 }, (_, index) => low + index)),
  ]),
) as unknown as Readonly<Record<ByteKind, readonly number[]>>;

/** What is known of the last byte: every value is of one of these kinds. */
export const lastKinds = [
  "zero",
  "small",
  "blank",
  "digit",
  "upper",
  "lower",
  "mark",
  "follow",
  "lead",
  "ones",
] as const;
export type LastKind = (typeof lastKinds)[number];

export function lastKindOf(byte: number): LastKind {
  if (byte === 0) return "zero";
  if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) return "blank";
  if (byte < 0x20) return "small";
  if (byte >= 0x30 && byte <= 0x39) return "digit";
  if (byte >= 0x41 && byte <= 0x5a) return "upper";
  if (byte >= 0x61 && byte <= 0x7a) return "lower";
  if (byte < 0x80) return "mark";
  if (byte < 0xc0) return "follow";
  return byte === 0xff ? "ones" : "lead";
}

/** What is known of the byte before that. `lead` is that of three bytes or four. */
export const beforeKinds = ["zero", "printable", "lead", "other"] as const;
export type BeforeKind = (typeof beforeKinds)[number];

export function beforeKindOf(byte: number): BeforeKind {
  if (byte === 0) return "zero";
  if (byte >= 0x20 && byte <= 0x7e) return "printable";
  return byte >= 0xe0 && byte <= 0xf4 ? "lead" : "other";
}
