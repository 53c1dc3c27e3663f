// SPDX-License-Identifier: Apache-2.0
// From what an expert expects to what a byte scores with it: the logarithm of how much likelier than
// one of 256 the expert holds it to be, in 1/32 bit, rounded down.
import { type ByteKind, byteKinds } from "./byte_kind.ts";
import type { MemoryExpert, Shares, StepExpert } from "./experts.ts";

/** Units of a bit. A byte scores at most 8 bits either way, and 96 bytes fit 16 bits with a threshold. */
export const scoreUnits = 32;
const leastScore = -8 * scoreUnits;

/** @returns what each of the 256 byte values scores. @throws Error when the shares leave too little for the others. */
export function scoresOfShares(shares: Shares): Int16Array {
  const chances = new Float64Array(256);
  let rest = 1;
  for (const [kind, share] of Object.entries(shares) as [ByteKind, number][]) {
    const values = byteKinds[kind];
    rest -= share;
    for (const value of values) chances[value] = (chances[value] ?? 0) + share / values.length;
  }
  return scoresOf(chances.map((chance) => chance + rest / 256));
}

/** By the difference from the byte that the expert looks back to, modulo 256. */
export function scoresOfStep({ same, next, near }: StepExpert): Int16Array {
  const chances = new Float64Array(256).fill((1 - same - next - near) / 256);
  chances[0] = (chances[0] ?? 0) + same;
  chances[1] = (chances[1] ?? 0) + next;
  for (let step = 1; step <= nearSteps; step++) {
    for (const at of [step, 256 - step]) chances[at] = (chances[at] ?? 0) + near / (2 * nearSteps);
  }
  return scoresOf(chances);
}

const nearSteps = 8;

/**
 * @param bytes how many came before.
 * @returns by how often a value was among them.
 */
export function scoresOfMemory({ unseen }: MemoryExpert, bytes: number): Int16Array {
  const chances = Float64Array.from({ length: bytes + 1 }, (_, seen) => (seen + unseen) / (bytes + 256 * unseen));
  return scoresOf(chances);
}

function scoresOf(chances: Float64Array): Int16Array {
  return Int16Array.from(chances, (chance) => {
    const exact = scoreUnits * Math.log2(256 * chance);
    if (!(exact >= leastScore)) throw new Error("Describe an expert: its shares leave too little for other values");
    const nearest = Math.round(exact);
    // Runtimes may differ in the last digit of a logarithm, never in the table.
    return Math.abs(exact - nearest) < 1e-9 ? nearest : Math.floor(exact);
  });
}
