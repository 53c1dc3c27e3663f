// SPDX-License-Identifier: Apache-2.0
// Takes bans that are over out of table and fence, a slice at a time: thousands that end together do not hold
// up the relay.
import { type Enforcement, sweepLimit } from "../core/bans/enforcement.ts";
import type { Work } from "../core/work.ts";
import { inTurns } from "../sources/turns.ts";

/** @param goesOn asked between two slices. */
export function sweepBans(enforcement: Enforcement, nowMs: () => number, goesOn: () => boolean): Promise<void> {
  return inTurns(sweeping(enforcement, nowMs, goesOn));
}

function* sweeping(enforcement: Enforcement, nowMs: () => number, goesOn: () => boolean): Work<void> {
  while (enforcement.sweep(nowMs()) === sweepLimit && goesOn()) yield;
}
