// SPDX-License-Identifier: Apache-2.0
// Do bytes look like ciphertext? Three counts that uniformly random bytes keep within limits: distinct
// values, bits that are set, bytes above 0x7f. The limits are such that random bytes miss one of them
// with a chance below `falseAlarm`; they are worked out at load from the exact distributions.

import { fails, holds, missing, type Outcome, type Probe } from "./probe.ts";
import type { RandomRule } from "./signature.ts";

/** The chance, for each place where the block may begin, that random bytes do not pass. */
export const falseAlarm = 1e-9;

/** Inclusive. */
interface Limits {
  readonly distinct: number;
  readonly bits: readonly [least: number, most: number];
  readonly high: readonly [least: number, most: number];
}

export function randomProbe(rule: RandomRule): Probe {
  const at = rule.at ?? 0;
  const size = rule.bytes;
  const last = at + (rule.slack ?? 0);
  const limits = limitsFor(size);
  const place = last === at ? `at ${at}` : `beginning at ${at} to ${last}`;
  return {
    words: `${size} bytes that look like ciphertext ${place}`,
    head: new Uint8Array(0),
    minBytes: at + size,
    horizonBytes: last + size,
    run: createRun(at, last, size, limits),
  };
}

function createRun(first: number, last: number, size: number, limits: Limits): Probe["run"] {
  const counts = new Uint16Array(256);
  let distinct = 0;
  let bits = 0;
  let high = 0;

  function add(byte: number): void {
    bits += bitsOf[byte] ?? 0;
    high += byte >> 7;
    const count = counts[byte] ?? 0;
    counts[byte] = count + 1;
    if (count === 0) distinct++;
  }

  function remove(byte: number): void {
    bits -= bitsOf[byte] ?? 0;
    high -= byte >> 7;
    const count = counts[byte] ?? 0;
    counts[byte] = count - 1;
    if (count === 1) distinct--;
  }

  return (bytes: Uint8Array, length: number, ended: boolean): Outcome => {
    counts.fill(0);
    distinct = 0;
    bits = 0;
    high = 0;
    const end = Math.min(length, last + size);
    for (let index = first; index < end; index++) {
      add(bytes[index] ?? 0);
      if (index < first + size - 1) continue;
      if (within(limits, distinct, bits, high)) return holds(index + 1);
      remove(bytes[index + 1 - size] ?? 0);
    }
    return length >= last + size ? fails(last + size) : missing(length, ended);
  };
}

function within(limits: Limits, distinct: number, bits: number, high: number): boolean {
  if (distinct < limits.distinct) return false;
  return bits >= limits.bits[0] && bits <= limits.bits[1] && high >= limits.high[0] && high <= limits.high[1];
}

const bitsOf = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

/** A third of the chance for each of the three counts. */
export function limitsFor(size: number, chance = falseAlarm): Limits {
  const each = chance / 3;
  return { distinct: leastDistinct(size, each), bits: middle(size * 8, each), high: middle(size, each) };
}

/** The greatest d such that `size` random bytes have fewer than d distinct values with a chance below `chance`. */
function leastDistinct(size: number, chance: number): number {
  // chances[d] after n bytes: the next byte is new with (256 - d) / 256.
  let chances = [1];
  for (let count = 0; count < size; count++) {
    const next = new Array<number>(chances.length + 1).fill(0);
    for (const [distinct, value] of chances.entries()) {
      next[distinct] = (next[distinct] ?? 0) + (value * distinct) / 256;
      next[distinct + 1] = (next[distinct + 1] ?? 0) + (value * (256 - distinct)) / 256;
    }
    chances = next;
  }
  return leastWithin(chances, chance);
}

/** Both tails of the sum of `coins` fair coins together have a chance below `chance`. */
function middle(coins: number, chance: number): readonly [number, number] {
  let chances = [1];
  for (let coin = 0; coin < coins; coin++) {
    const next = new Array<number>(chances.length + 1).fill(0);
    for (const [sum, value] of chances.entries()) {
      next[sum] = (next[sum] ?? 0) + value / 2;
      next[sum + 1] = (next[sum + 1] ?? 0) + value / 2;
    }
    chances = next;
  }
  const least = leastWithin(chances, chance / 2);
  return [least, coins - least];
}

function leastWithin(chances: readonly number[], chance: number): number {
  let below = 0;
  for (const [value, probability] of chances.entries()) {
    below += probability;
    if (below > chance) return value;
  }
  return chances.length;
}
