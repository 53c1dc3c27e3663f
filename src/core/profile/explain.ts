// SPDX-License-Identifier: Apache-2.0
// Why a profile says what it says: which rule decided, at which byte. For `ttgate check`; the gate
// itself does not need it.

import type { BetEvidence } from "../ciphertext/bets.ts";
import { createMatcher } from "../signature/matcher.ts";
import { programOf } from "../signature/program.ts";
import type { Alternative } from "../signature/term.ts";
import { wordsOf } from "../signature/words.ts";
import type { Sniff } from "../sniff.ts";
import { compileProfile } from "./compiled_profile.ts";
import type { Profile } from "./profile.ts";
import { createSniffer, fewestBytes } from "./sniffer.ts";

export interface Explanation {
  readonly verdict: "accept" | "foreign" | "malformed" | "undecided";
  readonly protocol: string | null;
  /** Where the rule stands, such as `http.rules[0]`; `default` where no rule said anything. */
  readonly rule: string | null;
  /** The byte that decided, counted from 1; null where it was the silence after the last one. */
  readonly byte: number | null;
  /** The rule in words. */
  readonly reason: string;
  /** Where no recogniser knows a stranger: the expert that won its bet. */
  readonly evidence?: BetEvidence | undefined;
}

/** @returns what the profile says of everything that a client sent before it fell silent. */
export function createExplainer(profile: Profile): (bytes: Uint8Array) => Explanation {
  const sniffer = createSniffer(compileProfile(profile));

  function undecided(isLast: boolean, length: number): Explanation {
    const isStruck = isLast && sniffer.undecidedLimit !== undefined;
    const reason = `${openWords(profile, length)}: refused, ${isStruck ? "a strike" : "no strike"} and no ban`;
    return { verdict: "undecided", protocol: null, rule: null, byte: null, reason };
  }

  return (bytes) => {
    const sniffed = sniffer.sniff(bytes, true);
    if (sniffed.kind === "more") return undecided(sniffed.isLast === true, bytes.length);
    if (sniffed.kind === "malformed") {
      const reason = "nearly what is expected: refused, a strike and no ban";
      return { verdict: "malformed", protocol: null, rule: null, byte: null, reason };
    }
    const length = decidingLength(sniffer.sniff, bytes);
    const ended = length > bytes.length;
    const prefix = bytes.subarray(0, Math.min(length, sniffer.prefixBytes));
    const protocol = sniffed.kind === "foreign" ? sniffed.protocol : null;
    const candidates =
      protocol === null ? profile.expect : (profile.known.find(({ name }) => name === protocol)?.alternatives ?? []);
    const decider = firstToHold(candidates, prefix, ended);
    const evidence = decider === undefined ? sniffer.evidence?.(prefix) : undefined;
    return {
      verdict: sniffed.kind,
      protocol,
      rule: decider !== undefined ? rulePath(decider) : evidence === undefined ? "default" : "expect",
      byte: ended ? null : length,
      reason: evidence === undefined ? reasonOf(sniffed, decider, ended) : betWords(evidence),
      evidence,
    };
  };
}

/** Why a packet of so many bytes is neither expected nor foreign. */
function openWords(profile: Profile, length: number): string {
  const [ciphertext] = profile.expect.flatMap((terms) =>
    terms.flatMap(({ test }) => (test.kind === "probe" && test.probe.bets !== undefined ? [test.probe] : [])),
  );
  if (length < fewestBytes) return "fewer than two bytes, which are evidence against nobody";
  if (ciphertext === undefined) return "neither expected nor known for certain as foreign";
  if (length < ciphertext.minBytes)
    return `too few bytes to tell (${length} of the ${ciphertext.minBytes} that ciphertext takes), and no recogniser is certain`;
  return "not as random as ciphertext, and no expert and no recogniser is certain";
}

/** The fewest bytes that decide; one more than there are when it takes the silence. What is decided stays so. */
function decidingLength(sniff: (bytes: Uint8Array, ended: boolean) => Sniff, bytes: Uint8Array): number {
  let low = 0;
  let high = bytes.length + 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sniff(bytes.subarray(0, middle), false).kind === "more") low = middle + 1;
    else high = middle;
  }
  return low;
}

function firstToHold(alternatives: readonly Alternative[], bytes: Uint8Array, ended: boolean): Alternative | undefined {
  const matcher = createMatcher(programOf(alternatives));
  let earliest = Number.POSITIVE_INFINITY;
  let first: Alternative | undefined;
  for (const [index, alternative] of alternatives.entries()) {
    const outcome = matcher(index, bytes, bytes.length, ended);
    if (outcome <= 0 || outcome >= earliest) continue;
    earliest = outcome;
    first = alternative;
  }
  return first;
}

/** What the paths of all terms have in common, whole steps only. */
function rulePath(alternative: Alternative): string {
  const [first = [], ...others] = alternative.map(({ path }) => path.split("."));
  const common = first.filter((step, index) => others.every((other) => other[index] === step));
  return common.join(".");
}

/** For people, and for `ttgate why`. */
export function betWords({ expert, bits, byte }: BetEvidence): string {
  return `no ciphertext: the expert "${expert}" held what had come by byte ${byte} to be 2^${bits.toFixed(1)} times as likely as chance`;
}

function reasonOf(sniffed: Sniff, decider: Alternative | undefined, ended: boolean): string {
  if (decider !== undefined) return `${wordsOf(decider)}${ended ? ", then silence" : ""}`;
  return sniffed.kind === "accept"
    ? "nothing that is known as foreign"
    : "not as expected, and no protocol that is known";
}
