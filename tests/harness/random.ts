// SPDX-License-Identifier: Apache-2.0
// Chance that can be had again: the same seed, the same run (Mulberry32).

/** Whole numbers below `limit`. */
export type Random = (limit: number) => number;

export function createRandom(seed: number): Random {
  const next = mulberry32(seed);
  return (limit) => next() % limit;
}

/** Numbers from 0, below 1. */
export function createFractions(seed: number): () => number {
  const next = mulberry32(seed);
  return () => next() / 2 ** 32;
}

export function pick<T>(random: Random, list: readonly T[]): T {
  const item = list[random(list.length)];
  if (item === undefined) throw new Error("Pick from a list: it is empty");
  return item;
}

/** Numbers of 32 bits. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  };
}
