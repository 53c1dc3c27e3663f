// SPDX-License-Identifier: Apache-2.0
// Bans that all last the same, and what a daemon without --escalate and --spare-friends has.
import type { Terms } from "../../src/core/bans/terms.ts";

export function lasting(timeoutMs: number): Terms {
  return { timeoutMs, timeoutFor: new Map(), factor: 1, ceilingMs: timeoutMs, memoryMs: 0 };
}

export const noFriends = { spareFriends: () => 0, hasFriends: () => false } as const;
