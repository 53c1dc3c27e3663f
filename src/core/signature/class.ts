// SPDX-License-Identifier: Apache-2.0
// Byte classes: named sets of byte values that a run of bytes is made of. Knows nothing of rules.

/** Inclusive ranges of byte values. */
const ranges = {
  any: [[0x00, 0xff]],
  zero: [[0x00, 0x00]],
  nonzero: [[0x01, 0xff]],
  /** ASCII without control characters; the space is one. */
  printable: [[0x20, 0x7e]],
  /** Printable, tab, line feed, carriage return. */
  text: [
    [0x09, 0x0a],
    [0x0d, 0x0d],
    [0x20, 0x7e],
  ],
  /** Printable without the space. */
  visible: [[0x21, 0x7e]],
  digit: [[0x30, 0x39]],
  hex: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
  lower: [[0x61, 0x7a]],
  upper: [[0x41, 0x5a]],
  letter: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  alnum: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  /** tchar of RFC 9110 section 5.6.2. */
  token: [
    [0x21, 0x21],
    [0x23, 0x27],
    [0x2a, 0x2b],
    [0x2d, 0x2e],
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5e, 0x7a],
    [0x7c, 0x7c],
    [0x7e, 0x7e],
  ],
  blank: [
    [0x09, 0x0a],
    [0x0d, 0x0d],
    [0x20, 0x20],
  ],
  high: [[0x80, 0xff]],
} as const satisfies Readonly<Record<string, readonly (readonly [number, number])[]>>;

export type ByteClass = keyof typeof ranges;

const names: ReadonlySet<string> = new Set(Object.keys(ranges));

/** In the order of the documentation. */
export const byteClassNames = Object.keys(ranges).filter(isByteClass);

function isByteClass(name: string): name is ByteClass {
  return names.has(name);
}

/** 256 cells, 1 where the value belongs to the set. */
export type ByteSet = Uint8Array;

export function byteSetOfClass(name: ByteClass): ByteSet {
  const set = new Uint8Array(256);
  for (const [low, high] of ranges[name]) set.fill(1, low, high + 1);
  return set;
}

export function byteSetOfBytes(bytes: Iterable<number>): ByteSet {
  const set = new Uint8Array(256);
  for (const byte of bytes) set[byte] = 1;
  return set;
}

export function unionOf(left: ByteSet, right: ByteSet): ByteSet {
  const set = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) set[byte] = (left[byte] ?? 0) | (right[byte] ?? 0);
  return set;
}

export function differenceOf(left: ByteSet, right: ByteSet): ByteSet {
  const set = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) set[byte] = (left[byte] ?? 0) & ~(right[byte] ?? 0);
  return set;
}

export function intersectionOf(left: ByteSet, right: ByteSet): ByteSet {
  const set = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) set[byte] = (left[byte] ?? 0) & (right[byte] ?? 0);
  return set;
}

const keys = new WeakMap<ByteSet, string>();

/** The same for sets of the same bytes. */
export function keyOf(set: ByteSet): string {
  const known = keys.get(set);
  if (known !== undefined) return known;
  const key = set.join("");
  keys.set(set, key);
  return key;
}

export function sizeOf(set: ByteSet): number {
  let size = 0;
  for (let byte = 0; byte < 256; byte++) size += set[byte] ?? 0;
  return size;
}
