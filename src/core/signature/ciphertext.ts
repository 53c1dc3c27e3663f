// SPDX-License-Identifier: Apache-2.0
// Is it ciphertext, perhaps after a clear header? Holds when uniform beats every expert, fails when an
// expert wins its bet; both tests are in ../ciphertext/bets.ts. It stays open where neither does.
import { type BetOptions, createBets, leastUniformBytes, mostBetBytes } from "../ciphertext/bets.ts";
import { fails, holds, open, type Probe } from "./probe.ts";
import type { CiphertextRule } from "./signature.ts";

/** What a rule says when it says nothing: a friend of TapeTrack's, and odds of one in a thousand million. */
export const ciphertextDefaults: BetOptions = { header: 16, shortest: 44, banBits: 30, acceptBits: 3 };

function betOptionsOf({ header, shortest, banBits, acceptBits }: CiphertextRule): BetOptions {
  return {
    header: header ?? ciphertextDefaults.header,
    shortest: shortest ?? ciphertextDefaults.shortest,
    banBits: banBits ?? ciphertextDefaults.banBits,
    acceptBits: acceptBits ?? ciphertextDefaults.acceptBits,
  };
}

function silentWords(shortest: number): string {
  return shortest > leastUniformBytes ? ` (${leastUniformBytes} where silence follows)` : "";
}

export function ciphertextProbe(rule: CiphertextRule): Probe {
  const options = betOptionsOf(rule);
  const { header, shortest } = options;
  const bets = createBets(options);
  return {
    words: `ciphertext after at most ${header} clear bytes, ${shortest} bytes or more${silentWords(shortest)}`,
    head: new Uint8Array(0),
    minBytes: Math.min(leastUniformBytes, shortest),
    horizonBytes: mostBetBytes,
    bets,
    run(bytes, length, ended) {
      const judged = bets.judge(bytes, length);
      if (judged !== 0) return judged > 0 ? holds(judged) : fails(-judged);
      if (!ended) return open;
      const isLong = length >= leastUniformBytes && length <= mostBetBytes;
      return isLong && bets.isUniform(bytes, length) ? holds(length + 1) : fails(length + 1);
    },
  };
}
