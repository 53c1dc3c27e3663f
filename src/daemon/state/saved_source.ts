// SPDX-License-Identifier: Apache-2.0
// What a line of the state file says.
import type { Claim } from "../../core/bans/claim.ts";
import type { Offender } from "../../core/bans/offenders.ts";

export interface SavedSource {
  /** Canonical text of a prefix. */
  readonly source: string;
  /** Without any it is not banned any more. */
  readonly claims: readonly Claim[];
  readonly offender: Offender | undefined;
}
