// SPDX-License-Identifier: Apache-2.0
// What can be said of an alternative without any bytes at hand: which values each place may have, how
// long the whole may be, how many bytes decide it. From this come the first-byte dispatch, the check
// for rules that can never match or overlap, the bits of evidence and the longest prefix needed.
import { type ByteSet, byteSetOfClass, differenceOf, intersectionOf, sizeOf, unionOf } from "./class.ts";
import type { Alternative, Term, Test } from "./term.ts";

export interface Bounds {
  /** Allowed values by offset; an offset that is not here may have any. */
  readonly places: ReadonlyMap<number, ByteSet>;
  /** Fewest and most bytes the client can send in all. */
  readonly minLength: number;
  readonly maxLength: number;
  /** With so many bytes every term is decided, whatever they are and whether more follow. */
  readonly horizonBytes: number;
}

const known = new WeakMap<Alternative, Bounds>();

/** Worked out once: several checks of a profile ask for it at every start. */
export function boundsOf(alternative: Alternative): Bounds {
  const before = known.get(alternative);
  if (before !== undefined) return before;
  const bounds = workOut(alternative);
  known.set(alternative, bounds);
  return bounds;
}

function workOut(alternative: Alternative): Bounds {
  const places = new Map<number, ByteSet>();
  let minLength = 1;
  let maxLength = Number.POSITIVE_INFINITY;
  let horizonBytes = 1;
  let latestEnd = 0;
  for (const term of alternative) {
    const start = term.relative ? latestEnd + term.at : term.at;
    const reach = reachOf(term.test, start);
    horizonBytes = Math.max(horizonBytes, reach.horizon);
    if (!term.negated && reach.end !== undefined) latestEnd = reach.end;
    if (term.relative) continue;
    for (const [offset, set] of setsOf(term)) {
      const before = places.get(offset);
      places.set(offset, before === undefined ? set : intersectionOf(before, set));
    }
    if (term.negated) continue;
    const [shortest, longest] = lengthsOf(term);
    minLength = Math.max(minLength, shortest);
    maxLength = Math.min(maxLength, longest);
  }
  return { places, minLength, maxLength, horizonBytes };
}

export function canMatch(bounds: Bounds): boolean {
  return bounds.minLength <= bounds.maxLength && [...bounds.places.values()].every((set) => sizeOf(set) > 0);
}

/** False only when no bytes can satisfy both. */
export function canBothMatch(left: Bounds, right: Bounds): boolean {
  if (Math.max(left.minLength, right.minLength) > Math.min(left.maxLength, right.maxLength)) return false;
  for (const [offset, set] of left.places) {
    const other = right.places.get(offset);
    if (other !== undefined && sizeOf(intersectionOf(set, other)) === 0) return false;
  }
  return true;
}

/** How many fair coins random bytes would have to throw to satisfy the alternative, at the least. */
export function evidenceBits(alternative: Alternative): number {
  const fixed = [...boundsOf(alternative).places.values()].reduce((bits, set) => bits + bitsOf(set), 0);
  const relative = alternative.filter((term) => term.relative && !term.negated);
  return relative.reduce((bits, term) => bits + movingBits(term), fixed);
}

function bitsOf(set: ByteSet): number {
  return Math.log2(256 / sizeOf(set));
}

/** Of a run of any length and what ends it: all its lengths together. */
function movingBits(term: Term): number {
  const { test } = term;
  if (test.kind !== "run" || test.until === undefined)
    return [...setsOf(term)].reduce((bits, [, set]) => bits + bitsOf(set), 0);
  const inside = sizeOf(differenceOf(test.set, test.until)) / 256;
  let chance = 0;
  for (let count = test.min; count <= test.max; count++) chance += inside ** count;
  return -Math.log2((chance * sizeOf(test.until)) / 256);
}

/** Where the latest deciding byte of a test is, and where the next relative term would begin at the latest. */
function reachOf(test: Test, start: number): { horizon: number; end?: number } {
  switch (test.kind) {
    case "bytes":
      return { horizon: start + test.value.length, end: start + test.value.length };
    case "run": {
      if (test.until === undefined) return { horizon: start + test.min };
      return { horizon: start + test.max + 1, end: start + test.max + 1 };
    }
    case "rest":
      return { horizon: start + test.max + 1 };
    case "number": {
      const end = start + test.size;
      const tied = test.length === "free" ? 0 : test.max + test.plus + (test.length === "equals" ? 1 : 0);
      return { horizon: Math.max(end, tied), end };
    }
    case "length":
      return { horizon: Number.isFinite(test.max) ? test.max + 1 : test.min };
    case "blocks":
      return { horizon: test.max + 1 };
    case "probe":
      return { horizon: test.probe.horizonBytes };
  }
}

function lengthsOf(term: Term): readonly [shortest: number, longest: number] {
  const { test, at } = term;
  const open = Number.POSITIVE_INFINITY;
  switch (test.kind) {
    case "bytes":
      return [at + test.value.length, open];
    case "run":
      return [at + test.min + (test.until === undefined ? 0 : 1), open];
    case "rest":
      return [at + test.min, at + test.max];
    case "number": {
      const end = at + test.size;
      if (test.length === "free") return [end, open];
      return [Math.max(end, test.min + test.plus), test.length === "equals" ? test.max + test.plus : open];
    }
    case "length":
      return [test.min, test.max];
    case "blocks":
      return [test.after + test.size, test.max];
    case "probe":
      return [test.probe.minBytes, open];
  }
}

function* setsOf({ test, negated, at }: Term): Generator<readonly [number, ByteSet]> {
  if (negated) {
    if (test.kind !== "bytes" || test.value.length !== 1) return;
    yield [at, differenceOf(byteSetOfClass("any"), maskedSet(test.value[0] ?? 0, test.mask[0] ?? 0))];
  } else if (test.kind === "bytes") {
    for (const [index, mask] of test.mask.entries()) yield [at + index, maskedSet(test.value[index] ?? 0, mask)];
  } else if (test.kind === "run" || test.kind === "rest") {
    yield* runSets(test, at);
  } else if (test.kind === "number") {
    yield* numberSets(test, at);
  } else if (test.kind === "probe") {
    for (const [index, value] of test.probe.head.entries()) yield [index, maskedSet(value, 0xff)];
  }
}

function* runSets(test: Test & { kind: "run" | "rest" }, at: number): Generator<readonly [number, ByteSet]> {
  const until = test.kind === "run" ? test.until : undefined;
  const body = until === undefined ? test.set : differenceOf(test.set, until);
  for (let index = 0; index < test.min; index++) yield [at + index, body];
  if (until !== undefined) yield [at + test.min, test.min === test.max ? until : unionOf(test.set, until)];
}

const maskedSets = new Map<number, ByteSet>();

/** Shared: nobody writes to a set. */
function maskedSet(value: number, mask: number): ByteSet {
  const key = value * 256 + mask;
  const before = maskedSets.get(key);
  if (before !== undefined) return before;
  const set = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) if ((byte & mask) === value) set[byte] = 1;
  maskedSets.set(key, set);
  return set;
}

/** Most significant byte first, as long as the bytes above it are certain. */
function* numberSets(test: Test & { kind: "number" }, at: number): Generator<readonly [number, ByteSet]> {
  const max = Math.min(test.max, 256 ** test.size - 1);
  for (let index = 0; index < test.size; index++) {
    const unit = 256 ** (test.size - 1 - index);
    const low = Math.floor(test.min / unit) % 256;
    const high = Math.floor(max / unit) % 256;
    const set = new Uint8Array(256);
    if (test.min <= max) set.fill(1, low, high + 1);
    yield [at + (test.little ? test.size - 1 - index : index), set];
    if (low !== high) return;
  }
}
