// SPDX-License-Identifier: Apache-2.0
// What another profile would have said of recorded connections, however TCP had cut them.

import type { BetEvidence } from "../ciphertext/bets.ts";
import type { Sniffer } from "../sniff.ts";
import type { Recording, ServerVerdict } from "./recording.ts";

export interface Ruling {
  readonly verdict: "accept" | "foreign" | "malformed" | "undecided";
  readonly protocol: string | null;
  /** How many bytes it took; null when it took the client's silence, or was not decided. */
  readonly byte: number | null;
  /** Where no recogniser knew the stranger: how it was told. */
  readonly evidence?: BetEvidence | undefined;
}

export interface Replay {
  readonly before: Ruling;
  readonly after: Ruling;
  readonly server: ServerVerdict;
  /** Another verdict or another name; a later or earlier byte is no change. */
  readonly changed: boolean;
}

export function replay(recording: Recording, before: Sniffer, after: Sniffer): Replay {
  const old = rulingOf(before, recording);
  const fresh = rulingOf(after, recording);
  const changed = old.verdict !== fresh.verdict || old.protocol !== fresh.protocol;
  return { before: old, after: fresh, server: recording.server, changed };
}

/**
 * Judges after every byte, so that every way to cut the connection is tried.
 * @throws Error when a cut gets another verdict than the whole: a defect of ttgate.
 */
export function rulingOf(sniffer: Sniffer, recording: Recording): Ruling {
  const { bytes } = recording;
  // What was not kept may still be missing, but no verdict needs more than the prefix.
  const isWhole = recording.totalBytes === bytes.length;
  const final = sniffer.sniff(bytes, isWhole);
  let byte: number | null = null;
  // Beyond the prefix no further byte is looked at.
  const end = Math.min(bytes.length, sniffer.prefixBytes + 1);
  for (let length = 1; length <= end; length++) {
    const sniffed = sniffer.sniff(bytes.subarray(0, length), false);
    if (sniffed.kind === "more") continue;
    byte ??= length;
    const isSame = sniffed.kind === final.kind && nameOf(sniffed) === nameOf(final);
    if (!isSame)
      throw new Error(
        `Replay a recording: the profile "${sniffer.profile}" says ${sniffed.kind} of its first ${length} bytes and ${final.kind} of all`,
      );
  }
  const verdict = final.kind === "more" ? "undecided" : final.kind;
  const bet = verdict === "foreign" ? sniffer.evidence?.(bytes) : undefined;
  const evidence = bet?.expert === nameOf(final) ? bet : undefined;
  return { verdict, protocol: nameOf(final), byte, ...(evidence === undefined ? {} : { evidence }) };
}

function nameOf(sniffed: ReturnType<Sniffer["sniff"]>): string | null {
  return sniffed.kind === "foreign" ? sniffed.protocol : null;
}
