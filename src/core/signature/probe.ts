// SPDX-License-Identifier: Apache-2.0
// What one test says of a prefix, as a number, so that saying it allocates nothing; and tests that are
// code instead of data, which only user space can run.

import type { Bets } from "../ciphertext/bets.ts";

/**
 * Positive: holds, and the value less 1 is the number of bytes that decided it, the end of what the
 * client sends being one more. Negative: fails, its negation less 1 likewise. 0: more bytes decide.
 */
export type Outcome = number;

export const open: Outcome = 0;

export function holds(at: number): Outcome {
  return at + 1;
}

export function fails(at: number): Outcome {
  return -(at + 1);
}

/** Of a test that lacks bytes. */
export function missing(length: number, ended: boolean): Outcome {
  return ended ? fails(length + 1) : open;
}

export interface Probe {
  /** Where it fails because it lost a bet: what tells which, for the name and the evidence. */
  readonly bets?: Bets;
  /** What it looks for, for people. */
  readonly words: string;
  /** Values that the first bytes must have for it to hold. */
  readonly head: Uint8Array;
  /** It cannot hold with fewer. */
  readonly minBytes: number;
  /** With so many it is decided. */
  readonly horizonBytes: number;
  /** What is decided stays decided whatever follows. Allocates nothing. */
  run(bytes: Uint8Array, length: number, ended: boolean): Outcome;
}
