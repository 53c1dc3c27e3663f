// SPDX-License-Identifier: Apache-2.0
// Takes bans that are over out of table and fence, a slice at a time: thousands that end together do not hold
// up the relay.
import { setImmediate } from "node:timers/promises";
import { type Enforcement, sweepLimit } from "../core/bans/enforcement.ts";

/** @param goesOn asked between two slices. */
export async function sweepBans(enforcement: Enforcement, nowMs: () => number, goesOn: () => boolean): Promise<void> {
  while (enforcement.sweep(nowMs()) === sweepLimit && goesOn()) await setImmediate();
}
