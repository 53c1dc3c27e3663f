// SPDX-License-Identifier: Apache-2.0
// How long a ban lasts for which nobody says a time: by the protocol that was spoken (--timeout-for), and by
// how often the source was banned before (--escalate). Pure.
import type { Offender } from "./offenders.ts";

export interface Terms {
  /** Milliseconds. */
  readonly timeoutMs: number;
  /** Instead of it, by what was spoken or what stands in its place. */
  readonly timeoutFor: ReadonlyMap<string, number>;
  /** Each further ban lasts so many times as long; 1: all last the same. */
  readonly factor: number;
  /** No ban grows beyond it. */
  readonly ceilingMs: number;
  /** How long after its end a ban counts. */
  readonly memoryMs: number;
}

/** @param offender undefined: the source was not banned lately. @returns milliseconds. */
export function termOf(terms: Terms, reason: string, offender: Offender | undefined, nowMs: number): number {
  const { timeoutMs, timeoutFor, factor, ceilingMs } = terms;
  const base = timeoutFor.get(reason) ?? timeoutMs;
  if (offender === undefined || factor === 1) return base;
  // While a ban runs another offence belongs to it.
  const before = nowMs < offender.untilMs ? offender.bans - 1 : offender.bans;
  return Math.max(base, Math.min(base * factor ** before, ceilingMs));
}
