// SPDX-License-Identifier: Apache-2.0
// Which of the bytes that never changed a rule may ask for. That they were the same so far does not say that they
// always will be: the upper bytes of a serial number, of a coordinate or of a date are the same for a whole
// site and a whole month, and so is a version until the next one. A packet's name at its beginning stays.
import { type Constant, headerLimitBytes, type LengthField } from "./fields.ts";
import type { Recording } from "./recording.ts";

export interface Range {
  readonly at: number;
  readonly max: number;
}

export interface Asked {
  readonly constants: readonly Constant[];
  /** Small numbers, which may grow; only where the constants tell too little. */
  readonly ranges: readonly Range[];
  /** Of the constants, those beside bytes that move: a name, or the upper bytes of a number that has not come so far yet. */
  readonly doubtful: readonly Constant[];
}

/** Two bytes are a name: a stranger has them by chance once in 65,536 times, and those that are known are named. */
export const enoughBytes = 2;
/** A name in letters is one however long it is. */
const longestName = 8;
const shortestName = 3;
/** A number of 32 bits has so many bytes that move less often than its last. */
const upperBytes = 3;
/** Versions, types and counts are below. */
const leastName = 0x40;
const leastFirst = 0x10;
const mostRanges = 4;
const leastRoom = 15;

/**
 * @param constants in the order of their places.
 * @param end up to here a byte that moves may be the lower part of a number.
 * @param askedBytes so many of them, where they are no name in letters.
 */
export function askedOf(
  constants: readonly Constant[],
  samples: readonly Recording[],
  field: LengthField | undefined,
  end: number,
  askedBytes: number,
): Asked {
  const bytes = new Map(constants.flatMap(({ at, bytes }) => bytes.map((byte, index) => [at + index, byte] as const)));
  const begin = field?.at === 0 ? field.size : 0;
  const isMoving = movingIn(samples, field, end);
  const isUpper = (at: number) => bordersOn(at, isMoving);
  const places = [...bytes.keys()];

  const name = places.filter((at) => at >= begin && at < begin + nameBytes(bytes, begin));
  const isCount = isMap(bytes.get(begin), bytes.get(begin + 1));
  const telling = places.filter(
    (at) => !name.includes(at) && !(at === begin && isCount) && isTelling(bytes.get(at) ?? 0, at, begin, isUpper(at)),
  );
  const exact = [...name, ...telling.slice(0, Math.max(0, askedBytes - name.length))];
  const ranges =
    exact.length >= enoughBytes
      ? []
      : places.filter((at) => !exact.includes(at) && !isUpper(at)).flatMap((at) => rangeOf(at, bytes.get(at) ?? 0));
  return {
    constants: runsOf(bytes, (at) => exact.includes(at)),
    ranges: ranges.slice(0, mostRanges),
    doubtful: runsOf(bytes, (at) => exact.includes(at) && !name.includes(at) && isUpper(at)),
  };
}

/** How many letters the packet begins with. */
function nameBytes(bytes: ReadonlyMap<number, number>, begin: number): number {
  let count = 0;
  while (count < longestName && isLetter(bytes.get(begin + count))) count++;
  return count < shortestName ? 0 : count;
}

/**
 * What begins a packet may be any byte that is no small number and no digit; elsewhere it must stand apart from what
 * moves.
 */
function isTelling(byte: number, at: number, begin: number, isUpper: boolean): boolean {
  if (byte === 0xff) return false;
  if (at === begin) return byte >= leastFirst && !isDigit(byte);
  return byte >= leastName && (at === begin + 1 || !isUpper);
}

/** How many pairs there are, and a key of text: MessagePack, and CBOR (RFC 8949). The next version has one more. */
function isMap(first = 0, second = 0): boolean {
  const [kind, next] = [first & 0xe0, second & 0xe0];
  return (kind === 0x80 && next === 0xa0) || (kind === 0xa0 && next === 0x60);
}

/** Four times as much as was seen, and no less than 15. */
function rangeOf(at: number, byte: number): Range[] {
  const max = Math.max(leastRoom, 4 * 2 ** Math.ceil(Math.log2(byte + 1)) - 1);
  return max < 0xff ? [{ at, max }] : [];
}

function movingIn(samples: readonly Recording[], field: LengthField | undefined, end: number): (at: number) => boolean {
  const isMoving = Array.from({ length: Math.min(end, headerLimitBytes + upperBytes) }, (_, at) => {
    const isInField = field !== undefined && at >= field.at && at < field.at + field.size;
    return !isInField && samples.some(({ bytes }) => bytes[at] !== samples[0]?.bytes[at]);
  });
  return (at) => isMoving[at] === true;
}

/** Bytes of one number lie beside each other, in either order. */
function bordersOn(at: number, isMoving: (at: number) => boolean): boolean {
  for (let distance = 1; distance <= upperBytes; distance++)
    if (isMoving(at - distance) || isMoving(at + distance)) return true;
  return false;
}

function isLetter(byte: number | undefined): boolean {
  return byte !== undefined && ((byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f);
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function runsOf(bytes: ReadonlyMap<number, number>, isTaken: (at: number) => boolean): Constant[] {
  const runs: { at: number; bytes: number[] }[] = [];
  for (const [at, byte] of bytes) {
    if (!isTaken(at)) continue;
    const last = runs.at(-1);
    if (last !== undefined && last.at + last.bytes.length === at) last.bytes.push(byte);
    else runs.push({ at, bytes: [byte] });
  }
  return runs;
}
