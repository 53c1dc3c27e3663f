// SPDX-License-Identifier: Apache-2.0
// The word that somebody meant who typed another one: "did you mean". Pure.

/** More slips than these make another word. */
const mostSlips = 2;

/** @returns the word that is at most two slips away, or one slip where it is short; undefined: none is. */
export function closestWord(typed: string, words: readonly string[]): string | undefined {
  let found: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const word of words) {
    const slips = slipsBetween(typed, word);
    const allowed = Math.min(mostSlips, Math.ceil(Math.max(typed.length, word.length) / 3));
    if (slips > allowed || slips >= fewest) continue;
    found = word;
    fewest = slips;
  }
  return found;
}

/** Letters inserted, left out, replaced or swapped with their neighbour: optimal string alignment. */
function slipsBetween(a: string, b: string): number {
  // What is typed may have any length.
  if (Math.abs(a.length - b.length) > mostSlips) return Number.POSITIVE_INFINITY;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current[column] = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + Number(!isSame),
        swapped ? (beforeLast[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
