// SPDX-License-Identifier: Apache-2.0
import type { Prefix } from "../../src/core/address.ts";
import type { Origin } from "../../src/core/bans/claim.ts";
import type { Enforcement } from "../../src/core/bans/enforcement.ts";
import { finished } from "../../src/core/work.ts";

/** Lifts in one go. @returns the prefixes whose bans ended. */
export function lifted(
  enforcement: Enforcement,
  prefixes: readonly Prefix[],
  nowMs: number,
  origin?: Origin,
): readonly Prefix[] {
  return finished(enforcement.lift(prefixes, () => nowMs, origin)).ended;
}
