// SPDX-License-Identifier: Apache-2.0
// Alternatives as one flat table of fixed-size steps, which signature_matcher.ts runs without making
// objects. Byte values, masks and byte sets are in one array beside it.

import { finished, type Work } from "../work.ts";
import { type Bounds, boundsOf } from "./bounds.ts";
import { type ByteSet, keyOf, sizeOf } from "./class.ts";
import type { Probe } from "./probe.ts";
import type { Alternative, Term } from "./term.ts";

/** Cells of a step: kind and flags, offset, then what the kind needs. */
export const stepCells = 8;

export const stepBytes = 1;
export const stepRun = 2;
export const stepRest = 3;
export const stepNumber = 4;
/** Steps up to here look at a place, and the next relative step begins where they end. */
export const lastPlacedStep = stepNumber;
export const stepLength = 5;
export const stepBlocks = 6;
export const stepProbe = 7;

export const kindBits = 0xff;
export const flagNegated = 0x100;
export const flagRelative = 0x200;

/** In the last cell but one of a number: what the value says of the length. */
export const lengthFree = 0;
export const lengthEquals = 1;
const lengthWithin = 2;

/** Cells of `starts` for each alternative. */
export const startCells = 4;
/** In place of a pivot's place: no packet is that long. */
const noPivot = 0x7fff_ffff;

/** In place of a maximum, a limit that no prefix reaches. */
export const noMaximum = 0x7fff_ffff;

export interface Program {
  /**
   * For each alternative where its steps begin, counted in cells; its pivot: a place, and where the set of
   * values that it may have there begins in `data`; and the fewest bytes it can hold with. Then where the
   * last alternative ends.
   */
  readonly steps: Int32Array;
  readonly starts: Int32Array;
  /** Values, masks, and sets of 256 cells. */
  readonly data: Uint8Array;
  readonly probes: readonly Probe[];
  /** The alternatives that a first byte leaves possible, in order: 256 lists. */
  readonly byFirstByte: readonly Int32Array[];
  readonly horizonBytes: number;
}

export function programOf(alternatives: readonly Alternative[]): Program {
  return finished(makeProgram(alternatives));
}

/** The same an alternative at a time. */
export function* makeProgram(alternatives: readonly Alternative[]): Work<Program> {
  const data: number[] = [];
  const probes: Probe[] = [];
  const setOffsets = new Map<string, number>();
  const append = (bytes: Uint8Array) => data.push(...bytes) - bytes.length;
  const appendSet = (set: ByteSet) => {
    const key = keyOf(set);
    const known = setOffsets.get(key);
    if (known !== undefined) return known;
    const offset = append(set);
    setOffsets.set(key, offset);
    return offset;
  };

  const steps: number[] = [];
  const starts: number[] = [];
  for (const alternative of alternatives) {
    yield;
    const { places, minLength: fewest } = boundsOf(alternative);
    const pivot = pivotOf(places);
    starts.push(steps.length, pivot?.at ?? noPivot, pivot === undefined ? 0 : appendSet(pivot.set), fewest);
    for (const term of alternative) steps.push(...stepOf(term, append, appendSet, probes));
  }
  starts.push(steps.length);
  const bounds = alternatives.map(boundsOf);
  const byFirstByte = yield* makeFirstByteLists(bounds);
  return {
    steps: Int32Array.from(steps),
    starts: Int32Array.from(starts),
    data: Uint8Array.from(data),
    probes,
    byFirstByte: byFirstByte.map((list) => Int32Array.from(list)),
    horizonBytes: bounds.reduce((most, bound) => Math.max(most, bound.horizonBytes), 0),
  };
}

/** By first byte, the alternatives that it leaves possible, in order. */
export function* makeFirstByteLists(bounds: readonly Bounds[]): Work<number[][]> {
  const lists = Array.from({ length: 256 }, (): number[] => []);
  for (const [index, { places }] of bounds.entries()) {
    yield;
    const set = places.get(0);
    for (const [byte, list] of lists.entries()) if (set === undefined || set[byte] === 1) list.push(index);
  }
  return lists;
}

/**
 * The place that rules the alternative out for most packets, behind the first byte, which chose it
 * already: looking there first makes a verdict three times as fast.
 */
export function pivotOf(places: Bounds["places"]): { readonly at: number; readonly set: ByteSet } | undefined {
  let best: { at: number; set: ByteSet; size: number } | undefined;
  for (const [at, set] of places) {
    const size = sizeOf(set);
    if (at === 0 || size === 256) continue;
    if (best === undefined || size < best.size || (size === best.size && at < best.at)) best = { at, set, size };
  }
  return best;
}

type Append = (bytes: Uint8Array) => number;

function stepOf(term: Term, append: Append, appendSet: Append, probes: Probe[]): number[] {
  const flags = (term.negated ? flagNegated : 0) | (term.relative ? flagRelative : 0);
  const cells = argumentsOf(term, append, appendSet, probes);
  const [kind = 0, ...rest] = cells;
  return [kind | flags, term.at, ...rest, ...new Array<number>(stepCells - 1 - cells.length).fill(0)];
}

function argumentsOf({ test }: Term, append: Append, appendSet: Append, probes: Probe[]): number[] {
  switch (test.kind) {
    case "bytes":
      return [stepBytes, append(test.value), test.value.length, append(test.mask)];
    case "run":
      return [stepRun, appendSet(test.set), test.min, test.max, test.until === undefined ? -1 : appendSet(test.until)];
    case "rest":
      return [stepRest, appendSet(test.set), test.min, test.max];
    case "number": {
      const relation = { free: lengthFree, equals: lengthEquals, within: lengthWithin }[test.length];
      // 32 bits each: the matcher reads minimum and maximum as unsigned.
      return [stepNumber, test.little ? -test.size : test.size, test.min | 0, test.max | 0, relation, test.plus];
    }
    case "length":
      return [stepLength, test.min, Number.isFinite(test.max) ? test.max : noMaximum];
    case "blocks":
      return [stepBlocks, test.size, test.after, test.max];
    case "probe":
      return [stepProbe, probes.push(test.probe) - 1];
  }
}
