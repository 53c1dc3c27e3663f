// SPDX-License-Identifier: Apache-2.0
// Whose claim a command makes or ends: a person's, or that of another tool, which ends only its own.

import { asking } from "../core/bans/claim.ts";
import { Failure } from "../failure.ts";
import type { CommandLine, Flag } from "./command_line.ts";

const others = asking.filter((name) => name !== "operator");

export const byFlag: Flag = {
  value: others.join("|"),
  help: "make or end the claim of this tool alone; other claims on the source stay as they are",
};

/** @returns undefined without the flag. @throws Failure when it names nobody, or stands beside a list. */
export function byOf({ flags: { by, from } }: CommandLine): string | undefined {
  if (typeof by !== "string") return undefined;
  const fail = (reason: string) => new Failure(`Invalid --by "${by}": ${reason}`, { exitCode: 2 });
  if (!(others as readonly string[]).includes(by)) throw fail(`expected ${others.join(" or ")}`);
  if (from !== undefined) throw fail("it contradicts --from, whose bans belong to the list");
  return by;
}
