// SPDX-License-Identifier: Apache-2.0
// The places by which the kernel's program rules an entry of a table out before it looks at the rest.

import type { Work } from "../work.ts";
import { boundsOf } from "./bounds.ts";
import { sizeOf } from "./class.ts";
import { pivotOf } from "./program.ts";
import type { Alternative } from "./term.ts";

/** More than there are indices of sets: they take 16 bits. */
const manySets = 0x1_0000;

/** A place, and the index of the set of what may stand there. */
export interface Pivot {
  readonly at: number;
  readonly set: number;
}

/**
 * Of each entry two places that rule it out for most packets: the matcher's, and another one. Of that, a set
 * is the better the smaller it is, and the fewer other entries have the same at this place: what is like
 * them is what comes here. A verdict takes the program two thirds of the time with the second one.
 */
export function* findPivots(
  alternatives: readonly Alternative[],
  setIndex: (set: Uint8Array) => number,
): Work<Pivot[][]> {
  const places: (Pivot & { readonly size: number })[][] = [];
  for (const alternative of alternatives) {
    yield;
    const late = lateNumberPlaces(alternative);
    const useful = [...boundsOf(alternative).places].filter(
      ([at, set]) => at > 0 && !late.has(at) && sizeOf(set) < 256,
    );
    places.push(useful.map(([at, set]) => ({ at, set: setIndex(set), size: sizeOf(set) })));
  }
  const keyOf = ({ at, set }: Pivot) => at * manySets + set;
  const sharers = new Map<number, number>();
  for (const place of places.flat()) sharers.set(keyOf(place), (sharers.get(keyOf(place)) ?? 0) + 1);
  const passing = (place: Pivot & { readonly size: number }) =>
    place.size / 256 + (sharers.get(keyOf(place)) ?? 0) / alternatives.length;
  const pivots: Pivot[][] = [];
  for (const [index, alternative] of alternatives.entries()) {
    yield;
    const first = pivotOf(boundsOf(alternative).places);
    const others = (places[index] ?? []).filter(({ at }) => at !== first?.at);
    const second = others.toSorted((a, b) => passing(a) - passing(b) || a.at - b.at).slice(0, 1);
    pivots.push(first === undefined ? second : [{ at: first.at, set: setIndex(first.set) }, ...second]);
  }
  return pivots;
}

/**
 * A number fails when all its bytes are there, also where the first of them rules it out: the matcher says
 * open until then, so that the program must too.
 */
function lateNumberPlaces(alternative: Alternative): ReadonlySet<number> {
  return new Set(
    alternative.flatMap(({ test, at }) =>
      test.kind === "number" ? Array.from({ length: test.size - 1 }, (_, index) => at + index) : [],
    ),
  );
}
