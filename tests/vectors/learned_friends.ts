// SPDX-License-Identifier: Apache-2.0
// Learns a profile from some friends of a shape and tries it on many others: what does it make of them,
// and does it ever say foreign of one that it accepts?

import { ciphers } from "../../src/config/profile.ts";
import { type LearnReport, learn } from "../../src/core/learn/learn.ts";
import type { Recording } from "../../src/core/learn/recording.ts";
import { compileProfile } from "../../src/core/profile/compiled_profile.ts";
import { type ProfileSource, parseProfile } from "../../src/core/profile/profile.ts";
import { createSniffer } from "../../src/core/profile/sniffer.ts";
import type { Sniffer } from "../../src/core/sniff.ts";
import type { FriendShape } from "./friend_shapes.ts";
import type { Friends } from "./friends.ts";

export interface Tally {
  count: number;
  accepted: number;
  foreign: number;
  undecided: number;
  /** Accepted in the end, and foreign at some moment before: must be none. */
  flipped: number;
}

export interface Learned {
  readonly sniffer: Sniffer;
  readonly profile: ProfileSource;
  readonly report: LearnReport;
}

export function recordingOf(bytes: Uint8Array, server: Recording["server"], index = 0): Recording {
  return { atMs: 1.8e12 + index * 1000, bytes: bytes.slice(), totalBytes: bytes.length, server };
}

/** @throws Error when there is nothing to learn. */
export function learnFrom(recordings: readonly Recording[], name = "site"): Learned {
  const result = learn(recordings, name, ciphers);
  if (result.kind === "nothing") throw new Error(result.message);
  const parsed = parseProfile(result.profile, name, ciphers);
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return { ...result, sniffer: createSniffer(compileProfile(parsed.profile)) };
}

export function learnShape(shape: FriendShape, samples: number, refused: readonly Recording[] = []): Learned {
  const friends = shape.friends(1);
  const accepted = Array.from({ length: samples }, (_, index) => recordingOf(friends.next(), "accepted", index));
  return learnFrom([...accepted, ...refused]);
}

/** Judges every friend after each byte until it is decided, as if every byte came alone. */
export function tryFriends(sniffer: Sniffer, friends: Friends, count: number): Tally {
  const tally: Tally = { count, accepted: 0, foreign: 0, undecided: 0, flipped: 0 };
  for (let index = 0; index < count; index++) {
    const bytes = friends.next();
    const final = sniffer.sniff(bytes, true);
    if (final.kind === "foreign") tally.foreign++;
    else if (final.kind === "more") tally.undecided++;
    else {
      tally.accepted++;
      if (!isSteady(sniffer, bytes)) tally.flipped++;
    }
  }
  return tally;
}

/** True when it is never foreign, and what was accepted stays so. */
function isSteady(sniffer: Sniffer, bytes: Uint8Array): boolean {
  let accepted = 0;
  for (let length = 1; length <= bytes.length; length++) {
    const { kind } = sniffer.sniff(bytes.subarray(0, length), false);
    if (kind === "foreign") return false;
    if (kind === "accept" && ++accepted > cutsBeyond) return true;
    if (kind === "more" && accepted > 0) return false;
  }
  return true;
}

/** So many more after the first that accepts. */
const cutsBeyond = 3;
