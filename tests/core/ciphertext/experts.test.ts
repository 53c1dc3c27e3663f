// SPDX-License-Identifier: Apache-2.0
// The condition that the guarantee stands on, for every expert and whatever it knows: docs/verdict.md.
import { describe, expect, test } from "bun:test";
import { banLimit, mostBetBytes } from "../../../src/core/ciphertext/bets.ts";
import { beforeKindOf, beforeKinds, lastKindOf, lastKinds } from "../../../src/core/ciphertext/byte_kind.ts";
import { experts, memoryExpert, stepExperts, writingExperts } from "../../../src/core/ciphertext/experts.ts";
import {
  beforeBits,
  expertNames,
  memoryRow,
  scoreTable,
  stepLanes,
  writingLanes,
} from "../../../src/core/ciphertext/score_table.ts";
import { scoresOfMemory, scoresOfShares, scoresOfStep, scoreUnits } from "../../../src/core/ciphertext/scores.ts";
import { createRandom } from "../../vectors/friends.ts";
import { scoreAt } from "./plain_bets.ts";

/** What a stake of 1 is worth on average after a byte that is uniform. */
function meanOf(scores: Iterable<number>): number {
  let sum = 0;
  for (const score of scores) sum += 2 ** (score / scoreUnits) / 256;
  return sum;
}

describe.each(writingExperts.map((expert, lane) => [`${lane} ${expert.name}`, expert] as const))("%s", (_, expert) => {
  test("wins nothing from uniform bytes, in any case", () => {
    for (const { next } of expert.cases) {
      expect(meanOf(scoresOfShares(next))).toBeLessThanOrEqual(1);
      // Rounding takes something from it, and little.
      expect(meanOf(scoresOfShares(next))).toBeGreaterThan(0.97);
    }
  });
});

test.each(stepExperts.map((expert) => [expert.distance, expert] as const))(
  "steps over %i bytes win nothing from uniform bytes",
  (_, expert) => {
    expect(meanOf(scoresOfStep(expert))).toBeLessThanOrEqual(1);
    expect(meanOf(scoresOfStep(expert))).toBeGreaterThan(0.97);
  },
);

test("the table holds nothing else: in no context of any two bytes does an expert win", () => {
  const { asLast, asBefore, blockOf, writing, steps, blockCount } = scoreTable();
  for (let block = 0; block < blockCount; block++) {
    for (let lane = 0; lane < writingLanes; lane++) {
      const scores = Array.from({ length: 256 }, (_, byte) => writing[(block * 256 + byte) * writingLanes + lane] ?? 0);
      expect(meanOf(scores)).toBeLessThanOrEqual(1);
    }
  }
  for (let lane = 0; lane < stepLanes; lane++) {
    expect(meanOf(Array.from({ length: 256 }, (_, step) => steps[step * stepLanes + lane] ?? 0))).toBeLessThanOrEqual(
      1,
    );
  }
  const context = new Uint8Array(3);
  for (let last = 0; last < 256; last++) {
    for (let before = 0; before < 256; before += 5) {
      const block = blockOf[(asLast[last] ?? 0) | (asBefore[before] ?? 0)] ?? 0;
      context.set([before, last, (last * 7 + before) & 255]);
      for (const [lane, expert] of writingExperts.entries()) {
        const inTable = writing[(block * 256 + (context[2] ?? 0)) * writingLanes + lane] ?? 0;
        expect([last, before, lane, inTable]).toEqual([last, before, lane, scoreAt(expert, context, 2)]);
      }
    }
  }
});

test("every byte has a kind as the last and as the one before, and every kind has a byte", () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  expect(new Set(bytes.map(lastKindOf))).toEqual(new Set(lastKinds));
  expect(new Set(bytes.map(beforeKindOf))).toEqual(new Set(beforeKinds));
  expect(beforeKinds.length).toBeLessThanOrEqual(1 << beforeBits);
});

test("a lane of 16 bits holds every sum", () => {
  const { writing, steps, memory } = scoreTable();
  const most = Math.max(...[...writing, ...steps, ...memory].map(Math.abs));
  expect(most).toBeLessThanOrEqual(8 * scoreUnits);
  expect(mostBetBytes * most + banLimit(60)).toBeLessThan(0x8000);
});

test("of a certainty of 2^-30 every expert has a share", () => {
  expect(banLimit(30) / scoreUnits).toBeGreaterThanOrEqual(30 + Math.log2(experts.length));
  expect(expertNames).toEqual(["text", "utf-8", "utf-16", "binary", "pattern"]);
});

test.each(Array.from({ length: mostBetBytes }, (_, bytes) => bytes))(
  "what is remembered of %i bytes wins nothing from the next, if that is uniform",
  (count) => {
    const { memory } = scoreTable();
    const random = createRandom(count);
    for (const values of [1, 2, 7, 60, 256]) {
      const seen = new Map<number, number>();
      for (let at = 0; at < count; at++) {
        const byte = random() % values;
        seen.set(byte, (seen.get(byte) ?? 0) + 1);
      }
      const scores = Array.from({ length: 256 }, (_, byte) => memory[count * memoryRow + (seen.get(byte) ?? 0)] ?? 0);
      expect(scores[0]).toBe(scoresOfMemory(memoryExpert, count)[seen.get(0) ?? 0] ?? Number.NaN);
      expect(meanOf(scores)).toBeLessThanOrEqual(1);
      expect(meanOf(scores)).toBeGreaterThan(0.97);
    }
  },
);
