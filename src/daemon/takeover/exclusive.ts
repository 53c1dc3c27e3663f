// SPDX-License-Identifier: Apache-2.0
// What a configuration has that two processes must not have at the same time, as they do during a take-over: both
// would write the file of a trial, and announce by one name in a fleet.
import type { Config } from "../../config/options.ts";

/** For people. */
export function exclusiveIn({ fleet, gates }: Pick<Config, "fleet" | "gates">): string[] {
  return [
    ...(gates.some(({ trial }) => trial !== undefined) ? ["a trial (--trial)"] : []),
    ...(fleet === undefined ? [] : ["membership in a fleet (--fleet)"]),
  ];
}
