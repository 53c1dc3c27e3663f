// SPDX-License-Identifier: Apache-2.0
// Two sequential tests: is it certain that the bytes are no ciphertext, and does uniform beat every
// expert? The experts' sums are kept in lanes of 16 bits, two in a word, so that one addition serves
// two; bpf/ciphertext.h does the same with four. docs/verdict.md is the mathematics. No allocation.
import { expertNames, laneNames, memoryRow, scoreTable, stepLanes } from "./score_table.ts";
import { scoreUnits } from "./scores.ts";

export interface BetOptions {
  /** Clear bytes at the beginning, at most: no evidence against a client. */
  readonly header: number;
  /** A friend's first packet has so many bytes; behind them another one may begin. */
  readonly shortest: number;
  /** A friend is banned with a chance below 2 to the power of minus this. */
  readonly banBits: number;
  /** By so many bits uniform must beat every expert. */
  readonly acceptBits: number;
}

export interface BetEvidence {
  /** `text`, `binary`, ... */
  readonly expert: string;
  /** How much likelier than by chance the expert held the bytes to be, in bits. */
  readonly bits: number;
  /** The byte that made it certain, counted from 1. */
  readonly byte: number;
}

export interface Bets {
  readonly options: BetOptions;
  /** What judge() last said of a lost bet: the byte, counted from 1; 0: it was not lost. Whoever asks clears it. */
  loss: number;
  /**
   * @returns positive: with so many bytes uniform beats every expert; negative: with so many it is certain that
   * this is no ciphertext; 0: neither.
   */
  judge(bytes: Uint8Array, length: number): number;
  /** Whether uniform beats every expert over the first `length` bytes, from the header's end or any byte before. */
  isUniform(bytes: Uint8Array, length: number): boolean;
  /** @returns the byte, counted from 1, that made it certain that this is no ciphertext; 0: none. */
  lostAt(bytes: Uint8Array, length: number): number;
  /** @returns whose name it then is, index of expertNames; -1: nobody's. */
  winner(bytes: Uint8Array, length: number): number;
  /** The same for people. Allocates. */
  evidence(bytes: Uint8Array, length: number): BetEvidence | undefined;
}

/** Uniform is tried with the shortest packet, and with so many bytes. */
export const laterTrials = [64, 96] as const;
/** With fewer uniform is never sure, not even at silence. */
export const leastUniformBytes = 32;
/** What the lanes of 16 bits hold: bpf/ciphertext.h. */
export const mostBetBytes = laterTrials[1];

/** In the sign of a lane: the sum is at its limit, or above. */
const signs = 0x8000_8000 | 0;

/** The sum, in units of a score, that makes a ban certain: a share of the chance for each expert. */
export function banLimit(banBits: number): number {
  return Math.ceil(scoreUnits * (banBits + Math.log2(laneNames.length)));
}

/** The sign of a lane comes up where a sum gets to the limit, and goes down where it is below what uniform allows. */
export function laneStarts({ banBits, acceptBits }: BetOptions): { betStart: number; uniformStart: number } {
  return { betStart: 0x8000 - banLimit(banBits), uniformStart: 0x8000 + Math.ceil(acceptBits * scoreUnits) - 1 };
}

export function createBets(options: BetOptions): Bets {
  const { header, shortest } = options;
  const table = scoreTable();
  const { asLast, asBefore, blockOf } = table;
  const writing = pairsOf(table.writing);
  const [steps1, steps2, steps4, steps8] = stepWords(table.steps);
  const limit = banLimit(options.banBits);
  const starts = laneStarts(options);
  const betStart = pair(starts.betStart);
  const uniformStart = pair(starts.uniformStart);

  let sums0 = 0;
  let sums1 = 0;
  let sums2 = 0;
  let sums3 = 0;
  let sums4 = 0;
  let sums5 = 0;
  /** Of the expert of memory, in one lane, and what it remembers. */
  let sum6 = 0;
  const seen = new Uint8Array(256);
  const { memory } = table;

  function begin(sums: number): void {
    sums0 = sums;
    sums1 = sums;
    sums2 = sums;
    sums3 = sums;
    sums4 = sums;
    sums5 = sums;
    sum6 = sums & 0xffff;
  }

  function shift(by: number): void {
    sums0 = (sums0 + by) | 0;
    sums1 = (sums1 + by) | 0;
    sums2 = (sums2 + by) | 0;
    sums3 = (sums3 + by) | 0;
    sums4 = (sums4 + by) | 0;
    sums5 = (sums5 + by) | 0;
    sum6 = (sum6 + by) & 0xffff;
  }

  /** What came before the header's end is known, and no bet. */
  function rememberHeader(bytes: Uint8Array): void {
    seen.fill(0);
    for (let at = 0; at < header; at++) remember(bytes[at] ?? 0);
  }

  /** @returns how often the byte came before. */
  function remember(byte: number): number {
    const before = seen[byte] ?? 0;
    seen[byte] = before + 1;
    return before;
  }

  /** @returns the score of the expert of memory, which remembers the byte from now on. */
  function remembered(at: number, byte: number): number {
    return at < header ? 0 : (memory[at * memoryRow + remember(byte)] ?? 0);
  }

  /**
   * Adds the scores of the bytes from..to), in locals, which is twice as fast as where the sums are kept: from the
   * header's end on, or a byte of the header.
   * @returns where a sum's sign came up, which ends it, counted from 1; 0: nowhere, or not asked.
   */
  function add(bytes: Uint8Array, from: number, to: number, stops: boolean): number {
    let [first, second, third, fourth, fifth, sixth] = [sums0, sums1, sums2, sums3, sums4, sums5];
    let last = byteAt(bytes, from - 1);
    let before = byteAt(bytes, from - 2);
    let seventh = sum6;
    let lostAt = 0;
    for (let at = from; at < to; at++) {
      const byte = bytes[at] ?? 0;
      const block = blockOf[(asLast[last] ?? 0) | (asBefore[before] ?? 0)] ?? 0;
      const row = ((block << 8) | byte) << 2;
      first = (first + (writing[row] ?? 0)) | 0;
      second = (second + (writing[row + 1] ?? 0)) | 0;
      third = (third + (writing[row + 2] ?? 0)) | 0;
      fourth = (fourth + (writing[row + 3] ?? 0)) | 0;
      fifth = (fifth + (steps1[(byte - last) & 255] ?? 0) + (steps2[(byte - before) & 255] ?? 0)) | 0;
      const step4 = steps4[(byte - byteAt(bytes, at - 4)) & 255] ?? 0;
      sixth = (sixth + step4 + (steps8[(byte - byteAt(bytes, at - 8)) & 255] ?? 0)) | 0;
      seventh = (seventh + remembered(at, byte)) & 0xffff;
      before = last;
      last = byte;
      if (stops && ((first | second | third | fourth | fifth | sixth | seventh) & signs) !== 0) {
        lostAt = at + 1;
        break;
      }
    }
    sums0 = first;
    sums1 = second;
    sums2 = third;
    sums3 = fourth;
    sums4 = fifth;
    sums5 = sixth;
    sum6 = seventh;
    return lostAt;
  }

  function hasSign(): boolean {
    return ((sums0 | sums1 | sums2 | sums3 | sums4 | sums5 | sum6) & signs) !== 0;
  }

  function lostAt(bytes: Uint8Array, length: number): number {
    begin(betStart);
    rememberHeader(bytes);
    return add(bytes, header, Math.min(length, shortest), true);
  }

  /** Of several that got there with one byte the first has the name. */
  function winningLane(): number {
    return (
      firstLane(sums0, 0) ??
      firstLane(sums1, 2) ??
      firstLane(sums2, 4) ??
      firstLane(sums3, 6) ??
      firstLane(sums4, 8) ??
      firstLane(sums5, 10) ??
      firstLane(sum6, 12) ??
      0
    );
  }

  function isUniform(bytes: Uint8Array, length: number): boolean {
    begin(uniformStart);
    rememberHeader(bytes);
    add(bytes, header, length, false);
    return isUniformBefore(bytes);
  }

  /** The sums are those from the header's end on; then from each byte before. */
  function isUniformBefore(bytes: Uint8Array): boolean {
    let at = header;
    while (hasSign()) {
      if (at === 0) return false;
      at--;
      add(bytes, at, at + 1, false);
    }
    return true;
  }

  function judge(bytes: Uint8Array, length: number): number {
    const lost = lostAt(bytes, length);
    self.loss = lost;
    if (lost > 0) return -lost;
    if (length < shortest) return 0;
    // The sums of the bet, seen from the other side.
    shift(uniformStart - betStart);
    if (isUniformBefore(bytes)) return shortest;
    for (let index = 0; index < laterTrials.length; index++) {
      const trial = laterTrials[index] ?? 0;
      if (trial > shortest && length >= trial && isUniform(bytes, trial)) return trial;
    }
    return 0;
  }

  const self: Bets = {
    options,
    loss: 0,
    judge,
    isUniform,
    lostAt,
    winner(bytes, length) {
      return lostAt(bytes, length) === 0 ? -1 : (nameOfLane[winningLane()] ?? -1);
    },
    evidence(bytes, length) {
      const byte = lostAt(bytes, length);
      if (byte === 0) return undefined;
      const sums = [sums0, sums1, sums2, sums3, sums4, sums5, sum6].flatMap((word) => [word & 0xffff, word >>> 16]);
      const lane = winningLane();
      return { expert: laneNames[lane] ?? "", bits: ((sums[lane] ?? 0) - 0x8000 + limit) / scoreUnits, byte };
    },
  };
  return self;
}

/** What is before the first byte counts as zeros. */
function byteAt(bytes: Uint8Array, at: number): number {
  return at < 0 ? 0 : (bytes[at] ?? 0);
}

/** The lane of a word whose sign is up, counted from `first`. */
function firstLane(word: number, first: number): number | undefined {
  if ((word & 0x8000) !== 0) return first;
  return word < 0 ? first + 1 : undefined;
}

/** By lane, index of expertNames. */
const nameOfLane = Int32Array.from(laneNames, (name) => expertNames.indexOf(name));

/** The same in both lanes of a word. */
function pair(value: number): number {
  return value | (value << 16) | 0;
}

/** Two scores in a word. A negative one borrows from its neighbour; the sum of all words gives it back. */
function pairsOf(scores: Int16Array): Int32Array {
  return Int32Array.from(
    { length: scores.length / 2 },
    (_, word) => ((scores[word * 2] ?? 0) + ((scores[word * 2 + 1] ?? 0) << 16)) | 0,
  );
}

/** By distance, each in its lane. */
function stepWords(scores: Int16Array): readonly [Int32Array, Int32Array, Int32Array, Int32Array] {
  const lane = (index: number) =>
    Int32Array.from(
      { length: 256 },
      (_, difference) => (scores[difference * stepLanes + index] ?? 0) << (index % 2 === 0 ? 0 : 16),
    );
  return [lane(0), lane(1), lane(2), lane(3)];
}
