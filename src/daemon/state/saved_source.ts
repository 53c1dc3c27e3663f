// SPDX-License-Identifier: Apache-2.0
// What a line of the state file says.
import type { SavedBan } from "../../core/bans/change.ts";
import type { Offender } from "../../core/bans/offenders.ts";

/** Without any claims it is not banned any more. */
export interface SavedSource extends SavedBan {
  readonly offender: Offender | undefined;
}
