// SPDX-License-Identifier: Apache-2.0
// Generated streams through both engines, for the built-in profiles and for grown ones; the seed of a
// profile repeats everything that was done with it.

import { loadProfile } from "../../src/config/profile.ts";
import type { Profile } from "../../src/core/profile/profile.ts";
import { createRandom } from "../harness/random.ts";
import { loadFirstMessages } from "../vectors/conformance.ts";
import { loadNearMisses } from "../vectors/near_misses.ts";
import { loadVectors } from "../vectors/vectors.ts";
import { agreementOf } from "./agreement.ts";
import { grownProfile } from "./grown_profile.ts";
import type { Engine } from "./inline.ts";
import { createStreams } from "./streams.ts";

/** Grows a profile for so many. */
export const streamsOfGrown = 400;

export interface Tally {
  streams: number;
  profiles: number;
  /** Grown profiles that no table can hold. */
  refused: number;
  open: number;
  pass: number;
  malformed: number;
  foreign: number;
}

export const emptyTally = (): Tally => ({
  streams: 0,
  profiles: 0,
  refused: 0,
  open: 0,
  pass: 0,
  malformed: 0,
  foreign: 0,
});

const vectors = [...loadVectors(), ...loadFirstMessages(), ...loadNearMisses()].map(({ bytes }) => bytes);
const hexOf = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @throws Error with the seed, the profile and the stream where the engines differ. */
function compare(profile: Profile, seed: number, count: number, engines: readonly Engine[], tally: Tally): void {
  const agreement = agreementOf(profile, engines);
  if (!("table" in agreement)) {
    tally.refused++;
    return;
  }
  const alternatives = [...profile.expect, ...profile.known.flatMap((part) => part.alternatives)];
  const streams = createStreams(createRandom(seed), { alternatives, vectors });
  for (let index = 0; index < count; index++) {
    const length = streams.next();
    const found = agreement.disagreement(streams.bytes, length);
    if (found === undefined) continue;
    const stream = hexOf(streams.bytes.subarray(0, length));
    throw new Error(`Profile ${profile.name}, seed ${seed}, stream ${index} ${stream}: ${found}`);
  }
  tally.profiles++;
  tally.streams += count;
  for (const key of ["open", "pass", "malformed", "foreign"] as const) tally[key] += agreement.said[key];
}

export function compareBuiltIn(
  name: string,
  seed: number,
  count: number,
  engines: readonly Engine[],
  tally: Tally,
): void {
  compare(loadProfile(name), seed, count, engines, tally);
}

/** One grown profile. */
export function compareGrown(seed: number, count: number, engines: readonly Engine[], tally: Tally): void {
  compare(grownProfile(createRandom(seed)), seed, count, engines, tally);
}
