// SPDX-License-Identifier: Apache-2.0
// A profile at work: the verdict on a prefix. A recogniser that refutes wins as soon as it holds; what
// is expected is accepted as soon as it holds and nothing that refutes is possible any more. Of several
// that hold, the one that was certain with the fewest bytes gives the name, so that it does not depend
// on how TCP cut them. No allocation.

import { type BetEvidence, type Bets, mostBetBytes } from "../ciphertext/bets.ts";
import { expertNames } from "../ciphertext/score_table.ts";
import { createMatcher } from "../signature/matcher.ts";
import { holds, type Outcome, open } from "../signature/probe.ts";
import { startCells } from "../signature/program.ts";
import type { Sniff, Sniffer } from "../sniff.ts";
import type { CompiledProfile } from "./compiled_profile.ts";

/** What is neither expected nor known, where the profile calls that foreign. */
export const unknownProtocol = "unknown";

/** Less is evidence against nobody: bpf/signatures.h has it too. */
export const fewestBytes = 2;

export function createSniffer(profile: CompiledProfile): Sniffer {
  const { expected, near, refutes, kin, overruled } = profile;
  const { names, owners, evidence: evidenceOf, program: known } = profile.known;
  const matchKnown = createMatcher(known);
  const matchExpected = createMatcher(expected);
  const matchNear = createMatcher(near);
  const prefixBytes = Math.max(fewestBytes, known.horizonBytes, expected.horizonBytes, near.horizonBytes);

  const verdicts = names.map((protocol): Sniff => ({ kind: "foreign", protocol }));
  const accept: Sniff = { kind: "accept" };
  const more: Sniff = { kind: "more" };
  const last: Sniff = { kind: "more", isLast: true };
  const malformed: Sniff = { kind: "malformed" };
  const unknown: Sniff = { kind: "foreign", protocol: unknownProtocol };

  const bets = expected.probes.flatMap((probe) => probe.bets ?? []);
  const isBet = bets.length > 0 && profile.fallback === "foreign" && expected.horizonBytes <= mostBetBytes;
  const betVerdicts = expertNames.map((protocol): Sniff => ({ kind: "foreign", protocol }));

  /** What is expected says so as long as the client may still send. */
  let expectedYet: Outcome = open;
  /** Of those that what is expected lost, the one that took the fewest bytes. */
  let lostBet: Bets | undefined;
  let lostAt = 0;

  /** Positive: as expected; negative: not; 0: open. */
  function expectation(bytes: Uint8Array, length: number, ended: boolean): Outcome {
    let isOpen = false;
    lostBet = undefined;
    const candidates = expected.byFirstByte[bytes[0] ?? 0] ?? none;
    for (let index = 0; index < candidates.length; index++) {
      for (const bet of bets) bet.loss = 0;
      const outcome = matchExpected(candidates[index] ?? 0, bytes, length, ended);
      if (outcome > 0) return outcome;
      if (outcome === open) isOpen = true;
      else noteLoss();
    }
    return isOpen ? open : -1;
  }

  function noteLoss(): void {
    for (const bet of bets) {
      if (bet.loss === 0 || (lostBet !== undefined && bet.loss >= lostAt)) continue;
      lostBet = bet;
      lostAt = bet.loss;
    }
  }

  /** It is no ciphertext, where that is what is expected; which bet says so is left in `lostBet`. */
  function isLost(bytes: Uint8Array, length: number): boolean {
    if (!isBet) return false;
    expectedYet = expectation(bytes, length, false);
    return expectedYet < 0 && lostBet !== undefined;
  }

  // What the last scan found; owners of -1 are nobody.
  let refuter = -1;
  let namer = -1;
  let canBeRefuted = false;
  let canBeNamed = false;
  /** Positive: a near miss; 0: open. */
  let nearness: Outcome = -1;
  /** Who names what is no near miss. */
  let overruledNamer = -1;
  let overruledAt = 0;
  let canBeOverruled = false;

  let refutedAt = 0;
  let namedAt = 0;

  function scan(bytes: Uint8Array, length: number, ended: boolean): void {
    refutedAt = Number.MAX_SAFE_INTEGER;
    namedAt = Number.MAX_SAFE_INTEGER;
    refuter = -1;
    namer = -1;
    canBeRefuted = false;
    canBeNamed = false;
    nearness = -1;
    overruledNamer = -1;
    overruledAt = Number.MAX_SAFE_INTEGER;
    canBeOverruled = false;
    const candidates = known.byFirstByte[bytes[0] ?? 0] ?? none;
    for (let index = 0; index < candidates.length; index++) {
      const alternative = candidates[index] ?? 0;
      // What needs as many bytes as what is known to refute comes too late to have a say.
      if (holds(known.starts[alternative * startCells + 3] ?? 0) >= refutedAt) continue;
      const outcome = matchKnown(alternative, bytes, length, ended);
      if (outcome < 0) continue;
      // A friend's random packet that was cut off there would look the same.
      const isWeak = isBet && outcome > holds(length) && (evidenceOf[alternative] ?? 0) < leastEvidenceBits;
      note(owners[alternative] ?? 0, outcome, isWeak);
    }
  }

  function note(owner: number, outcome: Outcome, isWeak: boolean): void {
    if (kin[owner] === true) {
      noteNear(outcome);
      return;
    }
    if (overruled[owner] === true) {
      noteOverruled(owner, outcome);
      return;
    }
    const isRefuter = refutes[owner] === true && !isWeak;
    if (outcome === open) {
      canBeNamed = true;
      canBeRefuted ||= isRefuter;
      return;
    }
    if (outcome < namedAt) {
      namedAt = outcome;
      namer = owner;
    }
    if (isRefuter && outcome < refutedAt) {
      refutedAt = outcome;
      refuter = owner;
    }
  }

  function noteNear(outcome: Outcome): void {
    if (outcome > nearness) nearness = outcome;
  }

  function noteOverruled(owner: number, outcome: Outcome): void {
    if (outcome === open) canBeOverruled = true;
    else if (outcome < overruledAt) {
      overruledAt = outcome;
      overruledNamer = owner;
    }
  }

  /** Not as expected: a stranger who has a name, a near miss, or nobody known. */
  function unexpected(bytes: Uint8Array, length: number, ended: boolean): Sniff {
    if (namer >= 0) return verdicts[namer] ?? unknown;
    if (canBeNamed) return more;
    for (const candidate of near.byFirstByte[bytes[0] ?? 0] ?? none)
      noteNear(matchNear(candidate, bytes, length, ended));
    if (nearness > 0) return malformed;
    if (nearness === open) return more;
    if (overruledNamer >= 0) return verdicts[overruledNamer] ?? unknown;
    return canBeOverruled ? more : unknown;
  }

  /** That it is a stranger is certain; for a while a recogniser that is still possible may give the name. */
  function stranger(bytes: Uint8Array, length: number, ended: boolean): Sniff {
    if (refuter >= 0 && refutedAt <= latestName) return verdicts[refuter] ?? unknown;
    if (namer >= 0 && namedAt <= latestName) return verdicts[namer] ?? unknown;
    if (canBeNamed && !ended && length < mostBetBytes) return more;
    return betVerdicts[lostBet?.winner(bytes, length) ?? -1] ?? unknown;
  }

  function unrefuted(bytes: Uint8Array, length: number, ended: boolean): Sniff {
    const yet = isBet ? expectedYet : expectation(bytes, length, false);
    if (yet > 0 || (ended && expectation(bytes, length, true) > 0)) return accept;
    // Too few bytes of what is expected are no evidence against the client: only bytes are.
    if (isBet && yet === open && length >= mostBetBytes && !canBeNamed) return last;
    if (profile.fallback === "undecided" || yet === open) return more;
    if (profile.fallback === "accept") return accept;
    return unexpected(bytes, length, ended);
  }

  function judge(bytes: Uint8Array, ended: boolean): Sniff {
    const length = Math.min(bytes.length, prefixBytes);
    // That nothing came at all says nothing of a protocol.
    if (length === 0) return more;
    const isEnd = ended && bytes.length <= prefixBytes;
    scan(bytes, length, isEnd);
    if ((refuter < 0 || refutedAt > earliestLoss) && isLost(bytes, length)) return stranger(bytes, length, isEnd);
    if (refuter >= 0) return verdicts[refuter] ?? unknown;
    return canBeRefuted ? more : unrefuted(bytes, length, isEnd);
  }

  function sniff(bytes: Uint8Array, ended: boolean): Sniff {
    const judged = judge(bytes, ended);
    // One byte is no evidence, whatever it is: its client was cut off.
    if (bytes.length < fewestBytes) return isAgainst(judged) ? more : judged;
    return judged === more && ended && !profile.hasNear ? last : judged;
  }

  function evidence(bytes: Uint8Array): BetEvidence | undefined {
    const isStranger = isLost(bytes, Math.min(bytes.length, prefixBytes));
    return isStranger ? lostBet?.evidence(bytes, bytes.length) : undefined;
  }

  const protocols = [
    ...names,
    ...expertNames.filter((name) => bets.length > 0 && !names.includes(name)),
    unknownProtocol,
  ];
  const { name, undecidedLimit, speaksFirst, unproven } = profile;
  return { profile: name, protocols, prefixBytes, speaksFirst, undecidedLimit, unproven, sniff, evidence };
}

/** Where random bytes are expected, what takes the client's silence to hold needs as many. */
const leastEvidenceBits = 30;

function isAgainst({ kind }: Sniff): boolean {
  return kind === "foreign" || kind === "malformed";
}

/** No bet is lost with fewer bytes than the least evidence takes at eight bits a byte. */
const earliestLoss = holds(3);

const latestName = holds(mostBetBytes);

const none = new Int32Array(0);
