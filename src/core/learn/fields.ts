// SPDX-License-Identifier: Apache-2.0
// What the clear header of a site's packets consists of, by comparing many of them: a length field,
// bytes that never change, and where random bytes begin. Errs on the side of saying nothing: what is
// constant today only because a counter or a clock is slow must not become a rule.

import { randomProbe } from "../signature/random.ts";
import type { Rule } from "../signature/signature.ts";
import type { Recording } from "./recording.ts";

/** A clear header is looked for up to here. */
export const headerLimitBytes = 64;
/** More bytes would tell little more, and hold a client of small packets back longer. */
const randomLimitBytes = 64;
const sizes = [4, 3, 2, 1] as const;
/** A length may count itself, its header, or only what follows. */
const plusLimit = 64;
/** A number has up to so many bytes above the highest one that moves: four of 32 bits, and slow ones of 64. */
const quietBytes = 3;
/** Fewer letters in a row may be numbers. */
const tellingText = 4;
/** Two sizes fit some line by chance; three do not. */
const leastDistinctSizes = 3;

export interface LengthField {
  readonly at: number;
  readonly size: number;
  readonly endian: "big" | "little";
  /** The field's value and this make the packet's length. */
  readonly plus: number;
  readonly greatest: number;
}

export interface Constant {
  readonly at: number;
  readonly bytes: readonly number[];
}

export function shortestOf(samples: readonly Recording[]): number {
  return samples.reduce((shortest, { bytes }) => Math.min(shortest, bytes.length), Number.POSITIVE_INFINITY);
}

/** @returns the leftmost, widest field that is the packet's length less a constant in every sample. */
export function lengthFieldOf(samples: readonly Recording[]): LengthField | undefined {
  if (new Set(samples.map(({ totalBytes }) => totalBytes)).size < leastDistinctSizes) return undefined;
  const end = Math.min(shortestOf(samples), headerLimitBytes);
  for (let at = 0; at < end; at++) {
    for (const size of sizes.filter((size) => at + size <= end)) {
      for (const endian of ["big", "little"] as const) {
        const values = samples.map(({ bytes }) => numberAt(bytes, at, size, endian));
        const plus = constantOf(samples.map(({ totalBytes }, index) => totalBytes - (values[index] ?? 0)));
        if (plus === undefined || plus < 0 || plus > plusLimit) continue;
        return { at, size, endian, plus, greatest: Math.max(...values) };
      }
    }
  }
  return undefined;
}

export function numberAt(bytes: Uint8Array, at: number, size: number, endian: "big" | "little"): number {
  let value = 0;
  for (let index = 0; index < size; index++)
    value = value * 256 + (bytes[endian === "big" ? at + index : at + size - 1 - index] ?? 0);
  return value;
}

function constantOf(values: readonly number[]): number | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined;
}

/** Where bytes that look random begin in every sample, and how many of them every sample has. */
export function randomPartOf(samples: readonly Recording[]): { at: number; bytes: number } | undefined {
  const shortest = shortestOf(samples);
  for (let at = 0; at <= headerLimitBytes && at + 16 <= shortest; at++) {
    // A header byte more or less hardly shows in a block, but it does in how often samples agree.
    if (!isVaried(samples, at)) continue;
    const bytes = variedBytes(samples, at, Math.min(shortest - at, randomLimitBytes));
    const { run } = randomProbe({ kind: "random", at, bytes });
    if (samples.every((sample) => run(sample.bytes, sample.bytes.length, true) > 0)) return { at, bytes };
  }
  return undefined;
}

/** Random bytes have about as many values as there are samples, at every place of a block. */
function isVaried(samples: readonly Recording[], from: number): boolean {
  return variedBytes(samples, from, blockBytes) === blockBytes;
}

/** How many bytes do, up to `most`: behind a nonce or a hash the packet may go on in clear. */
function variedBytes(samples: readonly Recording[], from: number, most: number): number {
  const expected = 256 * (1 - (1 - 1 / 256) ** samples.length);
  for (let count = 0; count < most; count++) {
    if (new Set(samples.map(({ bytes }) => bytes[from + count])).size < expected * 0.7) return count;
  }
  return most;
}

const blockBytes = 16;

/**
 * @param samples in the order of their time.
 * @param isMovingBeyond what is behind `end` may be the rest of a number that moves.
 * @returns bytes up to `end` that are the same in every sample and are no part of a number that moves.
 */
export function constantsOf(
  samples: readonly Recording[],
  end: number,
  field: LengthField | undefined,
  isMovingBeyond = true,
): Constant[] {
  const limit = Math.min(end, shortestOf(samples), headerLimitBytes);
  const values = Array.from({ length: limit }, (_, at) => constantOf(samples.map(({ bytes }) => bytes[at] ?? 0)));
  const isOfFewSizes = new Set(samples.map(({ totalBytes }) => totalBytes)).size < leastDistinctSizes;
  const usable = values.map(
    (value, at) =>
      value !== undefined &&
      !isIn(field, at) &&
      !clockAt(samples, at) &&
      !yearAt(samples, at) &&
      !(isOfFewSizes && mayBeLength(samples, values, at)),
  );
  // What looks random from its first byte on may begin with a counter: the byte at the limit moves, too.
  for (let at = 0; at < limit + (isMovingBeyond ? 1 : 0); at++) {
    if (values[at] !== undefined || isIn(field, at)) continue;
    for (const step of [-1, 1] as const) {
      const count = quietBytesBeside(samples, values, at, step);
      for (let near = 1; near <= count; near++) {
        const place = at + near * step;
        if (usable[place] === true) usable[place] = false;
      }
    }
  }
  return runsOf(values, usable);
}

/** Where all packets are of the same size, a length that they carry does not move. Text is none. */
function mayBeLength(samples: readonly Recording[], values: readonly (number | undefined)[], at: number): boolean {
  const isText = textRunAt(values, at) >= tellingText;
  for (const size of sizes.filter((size) => size > 1 || !isText)) {
    for (let from = Math.max(0, at - size + 1); from <= at; from++) {
      for (const endian of ["big", "little"] as const) {
        const isLength = samples.every(({ bytes, totalBytes }) => {
          const rest = totalBytes - numberAt(bytes, from, size, endian);
          return rest >= 0 && rest <= plusLimit;
        });
        if (isLength) return true;
      }
    }
  }
  return false;
}

/** How many bytes of text that never change the place is in the middle of. */
function textRunAt(values: readonly (number | undefined)[], at: number): number {
  const isText = (value: number | undefined) => value !== undefined && value > 0x20 && value < 0x7f;
  if (!isText(values[at])) return 0;
  let first = at;
  let last = at;
  while (isText(values[first - 1])) first--;
  while (isText(values[last + 1])) last++;
  return last - first + 1;
}

/** How many bytes beside one that moves belong to the same number, and will move some day. */
function quietBytesBeside(
  samples: readonly Recording[],
  values: readonly (number | undefined)[],
  at: number,
  step: -1 | 1,
): number {
  // The quiet end of a counter: zeros, or ones.
  let count = 0;
  while ([0, 0xff].includes(values[at + (count + 1) * step] ?? 1)) count++;
  const below = at - step;
  const isMovingBelow = below >= 0 && values[below] === undefined;
  return isGrowing(samples, at, isMovingBelow) ? Math.max(count, quietBytes) : count;
}

function runsOf(values: readonly (number | undefined)[], usable: readonly boolean[]): Constant[] {
  const constants: { at: number; bytes: number[] }[] = [];
  for (const [at, value] of values.entries()) {
    if (usable[at] !== true || value === undefined) continue;
    const last = constants.at(-1);
    if (last !== undefined && last.at + last.bytes.length === at) last.bytes.push(value);
    else constants.push({ at, bytes: [value] });
  }
  return constants;
}

/**
 * Does the byte grow with time, as the highest moving byte of a counter or a clock does? Of random bytes half
 * the steps go down. A flag that comes up once grows too, but it stands alone.
 */
function isGrowing(samples: readonly Recording[], at: number, hasMovingBelow: boolean): boolean {
  let steps = 0;
  let falls = 0;
  let before: number | undefined;
  const distinct = new Set<number>();
  for (const { bytes } of samples) {
    const value = bytes[at];
    if (value === undefined) continue;
    if (before !== undefined) steps++;
    if (before !== undefined && value < before) falls++;
    before = value;
    distinct.add(value);
  }
  return falls <= steps * 0.1 && (hasMovingBelow || distinct.size > steps / 4);
}

function isIn(field: LengthField | undefined, at: number): boolean {
  return field !== undefined && at >= field.at && at < field.at + field.size;
}

/** A clock that is right within a day, in seconds or milliseconds: its upper bytes are constant for months. */
function clockAt(samples: readonly Recording[], at: number): boolean {
  const dayMs = 86_400_000;
  for (let from = Math.max(0, at - 7); from <= at; from++) {
    for (const [size, unitMs] of [
      [4, 1000],
      [8, 1000],
      [8, 1],
      [6, 1],
    ] as const) {
      if (from + size <= at) continue;
      for (const endian of ["big", "little"] as const) {
        if (samples.every(({ bytes, atMs }) => Math.abs(numberAt(bytes, from, size, endian) * unitMs - atMs) < dayMs))
          return true;
      }
    }
  }
  return false;
}

/** The Gregorian calendar's, on average: it is wrong for hours around New Year, and then for no sample of the rest. */
const yearMs = 31_556_952_000;

/** The year of a date: a number of 16 bits, or what is left of it after the century, also as two decimal digits. */
function yearAt(samples: readonly Recording[], at: number): boolean {
  return samples.every(({ bytes, atMs }) => {
    const year = 1970 + Math.floor(atMs / yearMs);
    const short = year % 100;
    const byte = bytes[at] ?? 0;
    const isWide = (from: number) =>
      from >= 0 && (numberAt(bytes, from, 2, "big") === year || numberAt(bytes, from, 2, "little") === year);
    return isWide(at) || isWide(at - 1) || byte === short || byte === Math.floor(short / 10) * 16 + (short % 10);
  });
}

/** 16 when the sizes are a whole number of blocks of AES after the first `after` bytes, in every sample. */
export function blocksOf(samples: readonly Recording[], after: number): number | undefined {
  const totals = new Set(samples.map(({ totalBytes }) => totalBytes));
  const fits = [...totals].every((total) => total > after && (total - after) % 16 === 0);
  return fits && totals.size >= leastDistinctSizes ? 16 : undefined;
}

/**
 * The field as a rule, where it says anything: it leaves room for packets sixteen times as long as any that was
 * seen, for those of 16 KiB, or of 1 MiB where the field is made for such, and for those that end with the field.
 */
export function lengthRules(field: LengthField): Rule[] {
  const { at, size, endian } = field;
  const limit = 256 ** size - 1;
  const room = size > 2 ? 0x10_0000 : 0x4000;
  const max = Math.min(limit, Math.max(room, 16 * 2 ** Math.ceil(Math.log2(field.greatest + 1))) - 1);
  const min = Math.max(0, at + size - field.plus);
  return min === 0 && max === limit ? [] : [{ kind: "number", at, size, endian, min, max }];
}
