// SPDX-License-Identifier: Apache-2.0
// What a configuration has that two processes must not have at the same time, as they do during a take-over: both
// would write the file of a trial.
import type { Config } from "../../config/options.ts";

/** For people. */
export function exclusiveIn({ gates }: Pick<Config, "gates">): string[] {
  return gates.some(({ trial }) => trial !== undefined) ? ["a trial (--trial)"] : [];
}
