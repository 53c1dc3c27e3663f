// SPDX-License-Identifier: Apache-2.0
// The two tests once more, as docs/verdict.md has them: a sum for each expert, one after the other. Slow and
// plain, so that agreement with the lanes of src/core/ciphertext/bets.ts and bpf/ciphertext.h means something.
import { laterTrials } from "../../../src/core/ciphertext/bets.ts";
import { beforeKindOf, lastKindOf } from "../../../src/core/ciphertext/byte_kind.ts";
import { type Expert, experts, type WritingExpert } from "../../../src/core/ciphertext/experts.ts";
import { scoresOfMemory, scoresOfShares, scoresOfStep } from "../../../src/core/ciphertext/scores.ts";

export interface PlainOptions {
  readonly header: number;
  readonly shortest: number;
  /** In units of a score. */
  readonly limit: number;
  readonly margin: number;
}

export interface PlainVerdict {
  /** With so many bytes: `lost` to the expert, or ciphertext. */
  readonly kind: "lost" | "uniform" | "open";
  readonly byte: number;
  readonly expert: Expert | undefined;
}

const known = new Map<object, Int16Array>();

function memo(key: object, make: () => Int16Array): Int16Array {
  const before = known.get(key);
  if (before !== undefined) return before;
  const scores = make();
  known.set(key, scores);
  return scores;
}

function caseOf({ cases }: WritingExpert, last: number, before: number) {
  const found = cases.find(
    (one) =>
      (one.last === undefined || one.last.includes(lastKindOf(last))) &&
      (one.before === undefined || one.before.includes(beforeKindOf(before))),
  );
  if (found === undefined) throw new Error("No case of the expert holds");
  return found;
}

/** What the expert's bet on the byte at a place brings. */
export function scoreAt(expert: Expert, bytes: Uint8Array, at: number): number {
  const byte = bytes[at] ?? 0;
  if (expert.kind === "memory") {
    const seen = bytes.subarray(0, at).filter((before) => before === byte).length;
    return scoresOfMemory(expert, at)[seen] ?? 0;
  }
  const back = (distance: number) => (at < distance ? 0 : (bytes[at - distance] ?? 0));
  if (expert.kind === "step") {
    return memo(expert, () => scoresOfStep(expert))[(byte - back(expert.distance) + 256) % 256] ?? 0;
  }
  const found = caseOf(expert, back(1), back(2));
  return memo(found, () => scoresOfShares(found.next))[byte] ?? 0;
}

function sumOf(expert: Expert, bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at++) sum += scoreAt(expert, bytes, at);
  return sum;
}

export function isUniform(bytes: Uint8Array, length: number, { header, margin }: PlainOptions): boolean {
  for (let start = 0; start <= header; start++) {
    const isBeaten = (expert: Expert) =>
      sumOf(expert, bytes, expert.kind === "memory" ? header : start, length) <= -margin;
    if (experts.every(isBeaten)) return true;
  }
  return false;
}

export function plainVerdict(bytes: Uint8Array, options: PlainOptions): PlainVerdict {
  const { header, shortest, limit } = options;
  const sums = experts.map(() => 0);
  for (let at = header; at < Math.min(shortest, bytes.length); at++) {
    for (const [lane, expert] of experts.entries()) sums[lane] = (sums[lane] ?? 0) + scoreAt(expert, bytes, at);
    const lane = sums.findIndex((sum) => sum >= limit);
    if (lane >= 0) return { kind: "lost", byte: at + 1, expert: experts[lane] };
  }
  for (const trial of [shortest, ...laterTrials.filter((bytes) => bytes > shortest)]) {
    if (bytes.length >= trial && isUniform(bytes, trial, options))
      return { kind: "uniform", byte: trial, expert: undefined };
  }
  return { kind: "open", byte: 0, expert: undefined };
}
