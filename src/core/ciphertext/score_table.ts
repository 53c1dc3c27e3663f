// SPDX-License-Identifier: Apache-2.0
// The scores of all experts as the engines look them up. A row has the scores of all experts of writing
// for one byte, so that one look is enough; which row is chosen by the two bytes before. Contexts in
// which no expert sees a difference share their rows. scripts/embed.ts writes the same table as C.
import { type BeforeKind, beforeKindOf, beforeKinds, type LastKind, lastKindOf, lastKinds } from "./byte_kind.ts";
import { type Case, experts, memoryExpert, stepExperts, writingExperts } from "./experts.ts";
import { scoresOfMemory, scoresOfShares, scoresOfStep } from "./scores.ts";

export const writingLanes = writingExperts.length;
export const stepLanes = stepExperts.length;
/** Scores for each number of bytes before: a row, by how often the byte was among them. A power of two. */
export const memoryRow = 128;
/** No bet looks at more bytes: bets.ts. */
const memoryRows = 96;

/** Bits of a context for the kind of the byte before the last; the kind of the last is above them. */
export const beforeBits = 2;
const contextCount = 1 << (beforeBits + 4);

export interface ScoreTable {
  /** By byte value: what it gives to the context of the next byte, and of the one after that. */
  readonly asLast: Uint8Array;
  readonly asBefore: Uint8Array;
  /** By context: its block of rows. */
  readonly blockOf: Uint8Array;
  readonly blockCount: number;
  /** By block and byte value the scores of the experts of writing. */
  readonly writing: Int16Array;
  /** By the difference, modulo 256, the scores of the experts of steps. */
  readonly steps: Int16Array;
  /** By how many bytes came before, and how often the byte was among them, the score of the expert of memory. */
  readonly memory: Int16Array;
}

let table: ScoreTable | undefined;

/** Worked out by the first profile that wants it, in about two milliseconds. */
export function scoreTable(): ScoreTable {
  table ??= workOut();
  return table;
}

function workOut(): ScoreTable {
  const blocks = new Map<string, number>();
  const blockCases: (readonly Case[])[] = [];
  const blockOf = new Uint8Array(contextCount);
  for (const [lastIndex, last] of lastKinds.entries()) {
    for (const [beforeIndex, before] of beforeKinds.entries()) {
      const cases = writingExperts.map((expert) => caseOf(expert.cases, last, before));
      const key = cases.map(({ index }) => index).join();
      const block = blocks.get(key) ?? blocks.size;
      if (block === blocks.size) blockCases.push(cases.map((one) => one.found));
      blocks.set(key, block);
      blockOf[(lastIndex << beforeBits) | beforeIndex] = block;
    }
  }
  const writing = new Int16Array(blocks.size * 256 * writingLanes);
  for (const [block, cases] of blockCases.entries()) {
    for (const [lane, { next }] of cases.entries()) {
      for (const [byte, score] of scoresOfShares(next).entries())
        writing[(block * 256 + byte) * writingLanes + lane] = score;
    }
  }
  const steps = new Int16Array(256 * stepLanes);
  for (const [lane, expert] of stepExperts.entries()) {
    for (const [difference, score] of scoresOfStep(expert).entries()) steps[difference * stepLanes + lane] = score;
  }
  const memory = new Int16Array(memoryRows * memoryRow);
  for (let bytes = 0; bytes < memoryRows; bytes++) memory.set(scoresOfMemory(memoryExpert, bytes), bytes * memoryRow);
  return {
    asLast: Uint8Array.from({ length: 256 }, (_, byte) => lastKinds.indexOf(lastKindOf(byte)) << beforeBits),
    asBefore: Uint8Array.from({ length: 256 }, (_, byte) => beforeKinds.indexOf(beforeKindOf(byte))),
    blockOf,
    blockCount: blocks.size,
    writing,
    steps,
    memory,
  };
}

function caseOf(cases: readonly Case[], last: LastKind, before: BeforeKind): { index: number; found: Case } {
  const index = cases.findIndex((one) => (one.last?.includes(last) ?? true) && (one.before?.includes(before) ?? true));
  const found = cases[index];
  if (found === undefined)
    throw new Error(`Describe an expert: no case holds after ${before} and ${last}; add one for all`);
  return { index, found };
}

/** The names of lanes, in their order: those of writing, then those of steps, then that of memory. */
export const laneNames: readonly string[] = experts.map(({ name }) => name);

/** Each name once, in the order of the lanes. */
export const expertNames: readonly string[] = [...new Set(laneNames)];
