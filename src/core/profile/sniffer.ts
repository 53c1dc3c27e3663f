// SPDX-License-Identifier: Apache-2.0
// A profile at work: the verdict on a prefix. A recogniser that refutes wins as soon as it holds; what
// is expected is accepted as soon as it holds and nothing that refutes is possible any more. Of several
// that hold, the one that was certain with the fewest bytes gives the name, so that it does not depend
// on how TCP cut them. No allocation.

import { createMatcher } from "../signature/matcher.ts";
import { holds, type Outcome, open } from "../signature/probe.ts";
import { startCells } from "../signature/program.ts";
import type { Sniff, Sniffer } from "../sniff.ts";
import type { CompiledProfile } from "./compiled_profile.ts";

/** What is neither expected nor known, where the profile calls that foreign. */
export const unknownProtocol = "unknown";

export function createSniffer(profile: CompiledProfile): Sniffer {
  const { expected, refutes } = profile;
  const { names, owners, program: known } = profile.known;
  const matchKnown = createMatcher(known);
  const matchExpected = createMatcher(expected);
  const prefixBytes = Math.max(known.horizonBytes, expected.horizonBytes);

  const verdicts = names.map((protocol): Sniff => ({ kind: "foreign", protocol }));
  const accept: Sniff = { kind: "accept" };
  const more: Sniff = { kind: "more" };
  const unknown: Sniff = { kind: "foreign", protocol: unknownProtocol };

  /** Positive: as expected; negative: not; 0: open. */
  function expectation(bytes: Uint8Array, length: number, ended: boolean): number {
    let isOpen = false;
    const candidates = expected.byFirstByte[bytes[0] ?? 0] ?? none;
    for (let index = 0; index < candidates.length; index++) {
      const outcome = matchExpected(candidates[index] ?? 0, bytes, length, ended);
      if (outcome > 0) return outcome;
      if (outcome === 0) isOpen = true;
    }
    return isOpen ? 0 : -1;
  }

  // What the last scan found; owners of -1 are nobody.
  let refuter = -1;
  let namer = -1;
  let canBeRefuted = false;
  let canBeNamed = false;

  let refutedAt = 0;
  let namedAt = 0;

  function scan(bytes: Uint8Array, length: number, ended: boolean): void {
    refutedAt = Number.MAX_SAFE_INTEGER;
    namedAt = Number.MAX_SAFE_INTEGER;
    refuter = -1;
    namer = -1;
    canBeRefuted = false;
    canBeNamed = false;
    const candidates = known.byFirstByte[bytes[0] ?? 0] ?? none;
    for (let index = 0; index < candidates.length; index++) {
      const alternative = candidates[index] ?? 0;
      // What needs as many bytes as what is known to refute comes too late to have a say.
      if (holds(known.starts[alternative * startCells + 3] ?? 0) >= refutedAt) continue;
      const outcome = matchKnown(alternative, bytes, length, ended);
      if (outcome >= 0) note(owners[alternative] ?? 0, outcome);
    }
  }

  function note(owner: number, outcome: Outcome): void {
    const isRefuter = refutes[owner] === true;
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

  function sniff(bytes: Uint8Array, ended: boolean): Sniff {
    const length = Math.min(bytes.length, prefixBytes);
    // That nothing came at all says nothing of a protocol.
    if (length === 0) return more;
    const isEnd = ended && bytes.length <= prefixBytes;
    scan(bytes, length, isEnd);
    if (refuter >= 0) return verdicts[refuter] ?? unknown;
    if (canBeRefuted) return more;
    if (expectation(bytes, length, isEnd) > 0) return accept;
    // Too few bytes of what is expected are no evidence against the client: only bytes are.
    if (profile.fallback === "undecided" || expectation(bytes, length, false) === 0) return more;
    if (profile.fallback === "accept") return accept;
    if (namer >= 0) return verdicts[namer] ?? unknown;
    return canBeNamed ? more : unknown;
  }

  const protocols = [...names, unknownProtocol];
  return { profile: profile.name, protocols, prefixBytes, undecidedLimit: profile.undecidedLimit, sniff };
}

const none = new Int32Array(0);
